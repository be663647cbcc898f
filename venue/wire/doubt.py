"""What makes a whole answer doubtful, although each field that is wanted can be read. Pure.

A name that stands twice in one object has two values, and every reader keeps one of them unseen. An
error beside the facts says that they may not be all: a list is empty then because something broke.
"""

from __future__ import annotations

import json
import re
from typing import Final, TypeAlias

import msgspec

from venue.wire.errors import BYTE_ORDER_MARK, TEXT_LENGTH_MAX

_ERRORS: Final = frozenset({"error", "errors", "errormsg", "errormessage", "message", "detail"})
_WORDS: Final = re.compile(r"[\w-]+")
_ID: Final = re.compile(r"0x[0-9a-f]+")
_FILLERS: Final = frozenset({"the", "with", "id", "hash", "was", "is", "error", "this", "that"})
_Pairs: TypeAlias = list[tuple[str, object]]


def plain_name(name: str) -> str:
    """In lower case, without `_` and `-`."""
    return name.lower().replace("_", "").replace("-", "")


def once(pairs: _Pairs) -> dict[str, object]:
    """For `json.loads`. Raises msgspec.ValidationError."""
    named = dict(pairs)
    if len(named) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise msgspec.ValidationError(f"{ascii(twice)[:40]} stands there twice")
    return named


def refuse_doubled(payload: bytes | msgspec.Raw) -> None:
    """Raise msgspec.ValidationError when an object has a name twice, on any level."""
    _pairs(payload, inside=True)


def refuse_doubtful(payload: bytes, *, inside: bool = True) -> None:
    """The same, and also for an error beside the facts. Without `inside` only the outermost object
    counts: what it holds is judged one by one."""
    for name, value in _pairs(payload, inside=inside):
        if plain_name(name) in _ERRORS and value:
            text = f"an error stands beside it: {ascii(name)[:40]}"
            raise msgspec.ValidationError(text[:TEXT_LENGTH_MAX])


def is_not_found(text: str, thing: str) -> bool:
    """Whether this says that there is no such `thing`, and nothing else: not that something about
    it, or on the way to it, is not there ("order book not found", "/order not found")."""
    said = text.lower()
    words = [each for each in _WORDS.findall(said) if not _ID.fullmatch(each)]
    wanted = {thing, "not", "found"}
    return "/" not in said and wanted <= set(words) <= wanted | _FILLERS and "not found" in said


def _pairs(payload: bytes | msgspec.Raw, *, inside: bool) -> _Pairs:
    """Those of the outermost object, none where it is no object. Raises also UNDECODABLE."""
    outermost: _Pairs = []

    def opened(pairs: _Pairs) -> dict[str, object]:
        nonlocal outermost
        outermost = pairs  # the last one to be complete
        return once(pairs) if inside else dict(pairs)

    text = bytes(payload).removeprefix(BYTE_ORDER_MARK).decode()
    try:
        # Numbers stay text: one of any length may stand where nobody reads it.
        told = json.loads(text, object_pairs_hook=opened, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        raise msgspec.DecodeError(str(error)) from error
    if not isinstance(told, dict):
        return []
    once(outermost)
    return outermost
