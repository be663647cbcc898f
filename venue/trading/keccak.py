"""Keccak-256, Ethereum's hash, without what makes a general interface slow.

An order is hashed four times before it can be claimed. pycryptodome's own class makes an object,
a state and three wrappers anew for each hash, which takes as long as the hashing; here its C
functions are called with one state, which is as new again after each hash.
"""

from __future__ import annotations

from typing import Any

from Crypto.Hash import keccak
from Crypto.Util._raw_api import ffi

_CAPACITY_BYTES, _ROUNDS, _DIGEST_BYTES, _PADDING = 64, 24, 32, 1


class Keccak256:
    """For one thread: two that hash at once would get neither hash."""

    def __init__(self) -> None:
        self._lib: Any = keccak._raw_keccak_lib  # type: ignore[attr-defined]  # private
        place = ffi.new("void *[1]")
        _check(self._lib.keccak_init(place, _CAPACITY_BYTES, _ROUNDS))
        self._state = ffi.gc(place[0], self._lib.keccak_destroy)
        self._digest = ffi.new("uint8_t[]", _DIGEST_BYTES)
        self._read = ffi.buffer(self._digest)

    def of(self, octets: bytes) -> bytes:
        """The hash of `octets`, 32 bytes."""
        lib, state = self._lib, self._state
        _check(
            lib.keccak_absorb(state, octets, len(octets))
            or lib.keccak_digest(state, self._digest, _DIGEST_BYTES, _PADDING)
            or lib.keccak_reset(state)
        )
        return bytes(self._read)


def _check(failure: int) -> None:
    if failure:
        raise ValueError(f"keccak: error {failure}")
