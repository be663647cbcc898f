"""Structs as the rows keep them, JSON in one column, and how they are read again. No I/O.

1. What is read is checked: a missing or malformed field is a StoreError that names it. Unknown
   fields are ignored; what an older version did not write has its default.
2. What could not be read again is not written, which is a StoreError, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

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
        value: _Struct = _decoder(kind).decode(text)
    except _MALFORMED as error:
        raise StoreError(f"{_NAMES[kind]}: {error}") from error
    return value


def text_of(value: msgspec.Struct) -> str:
    """As it is stored. Raises StoreError for what could not be read again, of a decision
    StoreRefusedError."""
    kind = type(value)
    try:
        text = encoded(_encoder.encode, value).decode()
        _decoder(kind).decode(text)
    except _MALFORMED as error:
        refused = StoreRefusedError if kind is Decision else StoreError
        raise refused(f"{_NAMES[kind]} not stored: {error}") from error
    return text


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
