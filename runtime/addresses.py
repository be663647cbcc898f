"""Which texts can be the address of a host, or a URL; what of a URL may be shown. Pure: nothing is
resolved.

What libraries make of other texts is a traceback in the best case (`http://a..b` is a
UnicodeError), and in the worst one another host. No error here shows any of the text: it may be a
key.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

HOST_LENGTH_MAX: Final = 253
LABEL_LENGTH_MAX: Final = 63
"""RFC 1035, 2.3.4; of a name in ASCII."""
PORT_MAX: Final = 65_535
# Underscores are in no host's name, but in those of containers.
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?", re.IGNORECASE | re.ASCII)
_NUMERIC: Final = re.compile(r"\d+|0x[0-9a-f]*", re.IGNORECASE | re.ASCII)
_URL: Final = re.compile(
    r"""\b([a-z][a-z0-9+.-]{0,15}://)(?:[^\s/?#]*@)?([^\s/?#"'<>@]*)"""  # user, host, port
    r"""(?:[/?#](?:[^\s"'<>]*[^\s"'<>:,.;)\]}])?)?""",  # the rest, but for what ends a sentence
    re.IGNORECASE | re.ASCII,
)


def origins(text: str) -> str:
    """`text` with each URL in it cut to scheme, host and port: a user, a path or a query may be a
    key (`https://host/v2/<key>`), and may stand in any error of any library."""
    return _URL.sub(r"\1\2", text) if "://" in text else text


def checked_url(url: str, schemes: tuple[str, ...], *, user_allowed: bool = False) -> str:
    """`url` without its trailing slash. Raises ValueError unless it is a base for paths, with one
    of these schemes and a host that can be one, and names no user."""
    if not url.isprintable() or " " in url:
        raise ValueError("not a URL: it has a space or a control character in it")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("not a URL: the brackets are for an IPv6 address") from None
    if parts.scheme not in schemes or not parts.netloc:
        raise ValueError(f"not a URL of the form {schemes[0]}://host")
    if parts.fragment or "#" in url or (parts.query and parts.scheme.startswith("http")):
        raise ValueError(
            "nothing may follow the path of this URL (in a password, # is %23 and ? is %3F)"
        )
    _, at, address = parts.netloc.rpartition("@")
    if at and not user_allowed:
        raise ValueError("no user and no password may stand in this URL: take them out, with the @")
    if "," in address:  # no client here takes several
        raise ValueError("one URL is wanted, not several")
    _check_address(address, schemes[0])
    return url.rstrip("/")


def _check_address(address: str, scheme: str) -> None:
    """`host`, `host:port`, `[address]` or `[address]:port`."""
    if address.startswith("["):
        host, bracket, rest = address[1:].partition("]")
        if not bracket or not _is_ip(host, 6) or rest[:1] not in ("", ":"):
            raise ValueError("not a URL: the brackets are for an IPv6 address")
        colon, port = rest[:1], rest[1:]
    else:
        if address.count(":") > 1:
            raise ValueError(f"an IPv6 address wants brackets: {scheme}://[address]:port")
        host, colon, port = address.partition(":")
        if not host:
            raise ValueError(f"not a URL of the form {scheme}://host")
        check_host(host)
    if colon:
        _check_port(port)


def _check_port(port: str) -> None:
    if not (port.isascii() and port.isdecimal()):
        raise ValueError("not a URL: the port is not a number")
    if not 0 < int(port[:9]) <= PORT_MAX:
        raise ValueError(f"not a URL: ports go from 1 to {PORT_MAX}")


def check_host(host: str) -> str:
    """`host`, if it can be a name or an address (an IPv6 one without brackets). Else ValueError."""
    if ":" in host:
        if not _is_ip(host, 6):
            raise ValueError(
                "not a host: a name or an address is wanted, without port and brackets"
            )
        return host
    try:
        name = host.encode("ascii", "strict").decode() if host.isascii() else _ascii(host)
    except UnicodeError:
        raise ValueError("not a host: no name can have these characters") from None
    labels = name.removesuffix(".").split(".")
    if not all(labels):
        raise ValueError("not a host: a part of its name is empty (two dots, or one at its begin)")
    if len(name) > HOST_LENGTH_MAX or any(len(label) > LABEL_LENGTH_MAX for label in labels):
        raise ValueError(
            f"not a host: a name has {HOST_LENGTH_MAX} characters at most, each of its parts"
            f" {LABEL_LENGTH_MAX}"
        )
    if not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("not a host: a name has letters, digits and hyphens, with dots between")
    if _NUMERIC.fullmatch(labels[-1]) and not _is_ip(name, 4):  # as resolvers read it: a number
        raise ValueError("not a host: an IPv4 address has four numbers of up to 255")
    return host


def _ascii(host: str) -> str:
    # Longer labels are an error of the codec's, whose text shows them.
    return host.encode("idna").decode("ascii")


def _is_ip(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False
