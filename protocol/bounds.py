"""What numbers and texts of a message, or of a stored item, may be.

A reader refuses what is outside, naming the field. So nobody behind it meets a time that no
calendar has, an amount that no float holds, or a text that no item takes. What anybody can mean is
far inside.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from protocol.units import AMOUNT_E6_MAX, PRICE_SCALE

EPOCH_MS_MAX: Final = 253_402_300_799_999
"""The last of the year 9999: `datetime` has no later one."""

EpochMs: TypeAlias = Annotated[int, Meta(ge=0, le=EPOCH_MS_MAX)]
"""Epoch milliseconds; 0 is never."""
EpochNs: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""Epoch nanoseconds, up to the year 2262; 0 is never."""
PriceE4: TypeAlias = Annotated[int, Meta(ge=0, le=PRICE_SCALE)]
AmountE6: TypeAlias = Annotated[int, Meta(ge=0, le=AMOUNT_E6_MAX)]
"""Shares or USD."""
LevelPriceE4: TypeAlias = Annotated[int, Meta(gt=0, lt=PRICE_SCALE)]
LevelSizeE6: TypeAlias = Annotated[int, Meta(gt=0, le=AMOUNT_E6_MAX)]
COUNT_MAX: Final = 2**53
"""As far as every reader of JSON can count."""
Count: TypeAlias = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Ratio: TypeAlias = Annotated[float, Meta(ge=-1, le=1)]
Ticks: TypeAlias = Annotated[float, Meta(ge=-10_000, le=10_000)]
RATE_PATTERN: Final = r"^[0-9](\.[0-9]{1,48})?(E-[0-9]{1,2})?$"
FeeRate: TypeAlias = Annotated[str, Meta(pattern=RATE_PATTERN)]
"""A `Decimal` as `str` writes it."""
FeeExponent: TypeAlias = Annotated[int, Meta(ge=0, le=10)]

# In characters, of which UTF-8 makes four bytes at most.
Id: TypeAlias = Annotated[str, Meta(max_length=128)]
"""As a part of a DynamoDB key, which has at most 1,024 bytes."""
Name: TypeAlias = Annotated[str, Meta(max_length=256)]
Text: TypeAlias = Annotated[str, Meta(max_length=4_000)]
"""For a person. Our own are 500 at most, of which `protocol.text.whole` may make six times that."""
VERSIONS_LENGTH_MAX: Final = 9_000
"""256 books in as many epochs, each number as long as it can be."""
Versions: TypeAlias = Annotated[str, Meta(max_length=VERSIONS_LENGTH_MAX)]
"""Which books were seen (`strategies.seen_books`)."""
