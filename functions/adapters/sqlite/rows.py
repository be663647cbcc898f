"""Structs as the rows keep them, JSON in one column, and how they are read again. No I/O.

1. What is read is checked: a missing or malformed field is a StoreError that names it. Unknown
   fields are ignored; what an older version did not write has its default.
2. What could not be read again is not written, which is a StoreError, too.
3. The last field is a checksum of all before it, which SQLite itself does not keep: a digit that a
   disk has changed is a StoreError, and no amount of money. A row without one is of an older
   version, or of a person who has changed it and taken the field out.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from functions.adapters.sqlite.failures import RESTORE
from functions.core.account import Account, Pause
from functions.core.claim import Claim
from functions.core.collective import CollectiveState
from functions.core.configuration import ConfigurationRow
from functions.ports import StoreError, StoreRefusedError, UnreadableRowsError
from protocol.decision import Decision
from protocol.text import encoded

_encoder: Final = msgspec.json.Encoder()
_NAMES: Final[dict[type[msgspec.Struct], str]] = {
    Account: "account item",
    Claim: "ledger row",
    CollectiveState: "group item",
    ConfigurationRow: "configuration row",
    Decision: "decision row",
    Pause: "pause",
}
# msgspec.ValidationError and UnicodeDecodeError are ValueErrors; OverflowError an ArithmeticError.
_MALFORMED: Final = (ValueError, TypeError, ArithmeticError, RecursionError)
_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_Row = TypeVar("_Row")


@cache
def _decoder(kind: type[_Struct]) -> msgspec.json.Decoder[_Struct]:
    return msgspec.json.Decoder(kind)


def read(kind: type[_Struct], text: str) -> _Struct:
    """Inverse of `text_of`. Raises StoreError naming the malformed field."""
    try:
        value: _Struct = _decoder(kind).decode(_checked(text))
    except _MALFORMED as error:
        raise StoreError(f"{_NAMES[kind]}: {error}") from error
    return value


def text_of(value: msgspec.Struct) -> str:
    """As it is stored. Raises StoreError for what could not be read again, of a decision
    StoreRefusedError."""
    kind = type(value)
    try:
        text = encoded(_encoder.encode, value)
        _decoder(kind).decode(text)
    except _MALFORMED as error:
        refused = StoreRefusedError if kind is Decision else StoreError
        raise refused(f"{_NAMES[kind]} not stored: {error}") from error
    return f"{text[:-1].decode()}{_CHECK_BEGINS}{zlib.crc32(text):08x}{_CHECK_ENDS}"


def _checked(text: str) -> str:
    """What stands before the checksum. Raises ValueError where that is not its own."""
    length = len(_CHECK_BEGINS) + 8 + len(_CHECK_ENDS)
    before, check = text[:-length], text[-length:]
    if not (check.startswith(_CHECK_BEGINS) and check.endswith(_CHECK_ENDS)):
        return text
    of = f"{before}}}"
    if f"{zlib.crc32(of.encode()):08x}" != check[len(_CHECK_BEGINS) : -len(_CHECK_ENDS)]:
        raise ValueError(f"it is not what was written ($.crc32): {RESTORE}")
    return of


_CHECK_BEGINS: Final = ',"crc32":"'
_CHECK_ENDS: Final = '"}'


def all_of(rows: Iterable[tuple[str, Any]], read_row: Callable[[Any], _Row]) -> list[_Row]:
    """Rows as structs; of each, what it is called, and what is read. Raises UnreadableRowsError,
    which has those that can be read."""
    readable: list[_Row] = []
    unreadable: list[str] = []
    for name, row in rows:
        try:
            readable.append(read_row(row))
        except StoreError as error:
            unreadable.append(f"{name}: {error}")
    if unreadable:
        raise UnreadableRowsError(readable, unreadable)
    return readable
