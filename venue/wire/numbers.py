"""Numbers and times as the venue writes them, to integers. Pure and exact.

A number is a JSON string ("0.57") or a JSON number (0.57), and means the same either way: fields of
numbers are taken as `msgspec.Raw`, so that no float is ever made of them. Rulings:

1. `""`, null, a missing field and spaces are no number (`number_text` is None). What that means
   depends on the field, so the reader of the field decides. It is 0 where the venue writes nothing
   for nothing: the amounts of an answer to an order, `size_matched` of an order that is not
   matched, sizes of levels. Another field stands in for a time, nothing for a last trade's price.
   It is malformed where 0 would hide what is held or was bought, or decide what is signed: price
   and size of a trade, balances, `size_matched` of a matched order, tick sizes, minimums, fees.
2. An exponent is read in a JSON number alone (1e-06 is how some encoders write a small float), and
   only of at most two digits. In a string it is malformed: the venue's strings are plain.
3. true, false, objects, arrays, signs, NaN and digits of other scripts are malformed.
4. A time is epoch seconds, epoch milliseconds or ISO 8601 (UTC where it names no zone).

All raise ValueError with a text that quotes at most 40 characters of the venue's.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import msgspec

from protocol.bounds import EPOCH_MS_MAX
from protocol.units import PRICE_SCALE, parse_price_e4, parse_size_e6
from venue.wire.errors import UNDECODABLE

MISSING: Final = msgspec.Raw(b"null")
"""The default of a field that may be missing."""

_LENGTH_MAX: Final = 40
_JSON_NUMBER: Final = re.compile(r"([0-9]+)(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?")
_MILLISECONDS_FROM: Final = 10**11
"""Epoch times from here on are milliseconds: as seconds this is the year 5138."""
_PADDED: Final = re.compile(r"([0-9]+)\.0+|([0-9]+\.[0-9]*[1-9])0+")
"""Zeros at the end of a fraction say nothing, however many they are."""
_decode_text: Final = msgspec.json.Decoder(str).decode


def number_text(raw: msgspec.Raw) -> str | None:
    """The number as plain decimal text, None for `""` and null.

    A string is handed on as it is: whoever converts it checks its characters.
    """
    written = bytes(raw).strip()
    if written in (b"", b"null", b'""'):
        return None
    if written[:1] == b'"':
        try:
            text = _decode_text(written).strip()
        except UNDECODABLE as error:
            raise ValueError("not a number: unreadable text") from error
        padded = _PADDED.fullmatch(text)
        return (padded[1] or padded[2]) if padded else text or None
    text = written[: _LENGTH_MAX + 1].decode("ascii", "replace")
    if len(text) > _LENGTH_MAX or _JSON_NUMBER.fullmatch(text) is None:
        raise ValueError(f"not a number: {text[:40]!r}")
    return format(Decimal(text), "f") if "e" in text.lower() else text


def size_e6(raw: msgspec.Raw) -> int:
    """Shares in 1e-6, never negative. `""` and null are malformed here."""
    return parse_size_e6(_present(raw))


def bought_size_e6(raw: msgspec.Raw) -> int:
    """Shares of a trade in 1e-6: a trade of none is malformed."""
    shares_e6 = size_e6(raw)
    if shares_e6 == 0:
        raise ValueError("a trade of nothing")
    return shares_e6


def size_or_zero_e6(raw: msgspec.Raw) -> int:
    """Shares, or USD, in 1e-6 where the venue writes an empty text for nothing."""
    text = number_text(raw)
    return 0 if text is None else parse_size_e6(text)


def whole(raw: msgspec.Raw) -> int:
    """A whole number, never negative. `""` and null are malformed here."""
    text = _present(raw)
    digits, _, fraction = text.partition(".")
    if (
        not (digits.isdigit() and digits.isascii())
        or len(digits) > _LENGTH_MAX
        or fraction.strip("0")
    ):
        raise ValueError(f"not a whole number: {text[:40]!r}")
    return int(digits)


def decimal(raw: msgspec.Raw) -> Decimal:
    """A plain number, never negative. `""` and null are malformed here."""
    text = _present(raw)
    digits = text.replace(".", "", 1)
    if len(text) > _LENGTH_MAX or not (digits.isdigit() and digits.isascii()):
        raise ValueError(f"not a number: {text[:40]!r}")
    return Decimal(text)


def average_price_e4(raw: msgspec.Raw) -> int:
    """The price of a trade in 1e-4 USD, in [1, 10000].

    Rounded up when it is finer than a tick can be: a trade with several makers may carry their
    average, and a buyer's cost must not be stated below what was paid.
    """
    text = _present(raw)
    digits, point, fraction = text.partition(".")
    finer = fraction[4:].rstrip("0")
    price_e4 = parse_price_e4(f"{digits}{point}{fraction[:4]}")
    if finer:
        if not (finer.isdigit() and finer.isascii()):
            raise ValueError(f"not a price: {text[:40]!r}")
        price_e4 += 1
    if not 0 < price_e4 <= PRICE_SCALE:
        raise ValueError(f"impossible price: {text[:40]!r}")
    return price_e4


def first_time_ms(*raws: msgspec.Raw) -> int | None:
    """The first of these times that can be read, in epoch ms; None when none is there.

    A zero time (0, or the year 1) is none. Raises ValueError when none of those there is readable.
    """
    unreadable: ValueError | None = None
    for raw in raws:
        try:
            text = number_text(raw)
            epoch_ms = 0 if text is None else _epoch_ms(text)
        except ValueError as error:
            unreadable = unreadable or error
            continue
        if epoch_ms:
            return epoch_ms
    if unreadable is not None:
        raise unreadable
    return None


def _epoch_ms(text: str) -> int:
    digits, _, fraction = text.partition(".")
    if digits.isdigit() and digits.isascii() and len(digits) <= len(str(EPOCH_MS_MAX)):
        if fraction and not (fraction.isdigit() and fraction.isascii()):
            raise ValueError(f"not a time: {text[:40]!r}")
        number = int(digits)
        epoch_ms = number if number >= _MILLISECONDS_FROM else int(f"{digits}{fraction[:3]:0<3}")
    else:
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            epoch_ms = 0 if moment.year == 1 else int(moment.timestamp() * 1000)
        except (ValueError, OverflowError):
            raise ValueError(f"not a time: {text[:40]!r}") from None
    if not 0 <= epoch_ms <= EPOCH_MS_MAX:
        raise ValueError(f"not a time: {text[:40]!r}")
    return epoch_ms


def _present(raw: msgspec.Raw) -> str:
    text = number_text(raw)
    if text is None:
        raise ValueError("not a number: empty")
    return text
