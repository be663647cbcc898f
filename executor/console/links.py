"""One-time links: how a person at this machine comes into the console without a password.

Whoever can read the data folder's `console.token` (0600: the person who runs the system) can make a
link, without asking the console: the link's secret is the time it was made at and a nonce, under an
HMAC. The console takes each once, for ten minutes, and none from before its own start: so it need
not remember the used ones for longer than it runs.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import stat
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

KEY_FILE: Final = "console.token"
LINK_LASTS_MS: Final = 600_000
_KEY_BYTES: Final = 32
_HEAD: Final = struct.Struct(">Q16s")
_MAC_BYTES: Final = 32


class LinkKeyError(Exception):
    """There is no key to make links with; one line for a person."""


def link_key(folder: Path) -> bytes:
    """The key in `folder`, which is made if there is none. Raises LinkKeyError."""
    path = folder / KEY_FILE
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            _make(path)
            return _read(path)
    except OSError as error:
        raise LinkKeyError(f"{path}: {error.strerror or error}") from None


def _make(path: Path) -> None:
    """Whole or not at all, and never in the place of another's."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(_KEY_BYTES))
        path.hardlink_to(new)
    except FileExistsError:
        pass  # somebody else was faster
    finally:
        new.unlink()


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
            raise LinkKeyError(f"{path}: not a file of yours: remove it")
        if about.st_mode & 0o077:
            raise LinkKeyError(f"{path}: others may read it: remove it, a new one is made")
        text = file.read(2 * _KEY_BYTES + 1)
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise LinkKeyError(f"{path}: not what the console has written: remove it")
    return key


def link_secret(key: bytes, now_ms: int) -> str:
    """What a fresh link ends with."""
    head = _HEAD.pack(now_ms, secrets.token_bytes(16))
    return base64.urlsafe_b64encode(head + _mac(key, head)).decode().rstrip("=")


def one_time_link(folder: Path, console_url: str) -> str:
    """For a person at this machine: good for ten minutes, once, at a console that runs already.
    Raises LinkKeyError."""
    return f"{console_url}/open/{link_secret(link_key(folder), time.time_ns() // 1_000_000)}"


def _mac(key: bytes, head: bytes) -> bytes:
    return hmac.digest(key, head, "sha256")


class Links:
    """Those that this console takes."""

    def __init__(self, key: bytes, now_ms: Callable[[], int]) -> None:
        self._key, self._now_ms = key, now_ms
        self._started_at_ms = now_ms()
        self._used: dict[bytes, int] = {}
        """By nonce, when it was made; only signed ones get here."""

    def use(self, secret: str) -> str:
        """Use it up. Returns why it does not let in, a sentence; empty: it does."""
        now_ms = self._now_ms()
        self._used = {n: made for n, made in self._used.items() if now_ms - made <= LINK_LASTS_MS}
        try:
            told = base64.urlsafe_b64decode(secret.encode("ascii") + b"=" * (-len(secret) % 4))
            made_at_ms, nonce = _HEAD.unpack(told[: _HEAD.size])
        except (ValueError, struct.error):
            return "This is not a link of this console."
        mac = told[_HEAD.size :]
        if not hmac.compare_digest(mac, _mac(self._key, told[: _HEAD.size])):
            return "This is not a link of this console."
        if nonce in self._used:
            return "This link was used before; each opens the console once."
        if made_at_ms < self._started_at_ms:
            return "This link is from before the console was started again."
        if not 0 <= now_ms - made_at_ms <= LINK_LASTS_MS:
            return "This link is older than ten minutes."
        self._used[nonce] = made_at_ms
        return ""
