"""What a feed consists of: books and what markets paid, in order of time; and what was left out.

A feed is read once, from the oldest to the newest, and holds no more than the markets that are open
at a moment. What a market paid comes after all its books, never before its end: nothing that
decides can know it.
"""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import msgspec

from functions.core.evidence import Resolution
from protocol.bounds import EPOCH_MS_MAX
from protocol.snapshot import BookSnapshot
from protocol.units import SIZE_SCALE


class FeedError(ValueError):
    """A recording that cannot be used at all; one line for a person."""


class MarketPaid(msgspec.Struct, frozen=True, kw_only=True):
    """What a market's tokens paid, as the recording says."""

    condition_id: str
    slug: str
    at_ms: int
    """Epoch; at or after the market's end."""
    resolution: Resolution


FeedEvent: TypeAlias = BookSnapshot | MarketPaid


def event_at_ms(event: FeedEvent) -> int:
    """When it was received, epoch milliseconds: feeds are in this order."""
    if isinstance(event, MarketPaid):
        return event.at_ms
    return event.received_at_ns // 1_000_000


EPOCH_MS_MIN: Final = 100_000_000_000
"""In 1973: what is less is not in milliseconds."""
_ROUNDED_E6: Final = 2
"""Two payouts of 1e-6 USD may be off by so much together."""


def is_time(at_ms: int | None) -> bool:
    """Whether it can be epoch milliseconds."""
    return at_ms is not None and EPOCH_MS_MIN <= at_ms <= EPOCH_MS_MAX


def check_file(path: Path) -> None:
    """Raises ValueError for what is there and is none: a pipe would be waited for. OSError."""
    if not stat.S_ISREG(mode := path.stat().st_mode):
        raise ValueError("it is a directory" if stat.S_ISDIR(mode) else "it is not a file")


def check_payouts(payouts_e6: Collection[int]) -> None:
    """A share of each outcome, in 1e-6 USD: together they pay what both cost, 1 USD, as the venue's
    contract has it for a winner, a split and a void alike. Raises ValueError."""
    paid_e6 = sum(payouts_e6)
    if min(payouts_e6) < 0 or abs(paid_e6 - SIZE_SCALE) > _ROUNDED_E6:
        shown = " and ".join(f"{each / SIZE_SCALE:g}" for each in payouts_e6)
        raise ValueError(f"a market that pays {shown} USD: together it has to be 1")


class LeftOut(StrEnum):
    """Why a part of a recording is not used; the closed set."""

    DAMAGED = "damaged"
    """The end of a file that cannot be read."""
    UNREADABLE = "unreadable"
    """Lines, rows or books that are none."""
    NOT_UP_DOWN = "not_up_down"
    """Markets whose outcomes are not Up and Down."""
    OUT_OF_ORDER = "out_of_order"
    """Books that are older than one that was read before."""
    LOST = "lost"
    """Records that were never written, because the disk was too slow, or full."""
    UNPROVEN = "unproven"
    """Changes of a book that did not have the venue's checksum."""
    GAP = "gap"
    """Orders that would have arrived where the recording has no books for too long."""
    PLACEHOLDER = "placeholder"
    """Books that only show the empty market's 0.01 and 0.99."""
    DARK = "dark"
    """Books that nobody could have."""
    UNRESOLVED = "unresolved"
    """Markets of which the recording does not say what they paid."""


class Exclusion(msgspec.Struct, frozen=True, kw_only=True):
    """What is left out, how often, and where."""

    why: LeftOut
    where: str
    """A file, or a market's slug."""
    count: int
    text: str = ""
    """More about the first one."""


class Feed(Protocol):
    """One source of books."""

    @property
    def name(self) -> str:
        """Where it comes from, for a person; with its licence where it has one."""
        ...

    @property
    def exclusions(self) -> list[Exclusion]:
        """What has been left out of what was read so far."""
        ...

    def __iter__(self) -> Iterator[FeedEvent]:
        """In order of `event_at_ms`. Raises FeedError."""
        ...
