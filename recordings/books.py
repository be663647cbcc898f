"""A recording as the snapshots that a feeder would have published: what strategies are tried on.

Every moment of the recording at which a book changed is one snapshot, received when the venue had
sent it. What a recording does not tell is taken as it is for these markets: fee, minimum size, and
the tick, which becomes finer with the first price that needs it, as the venue's does.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import msgspec

from protocol.book import PUBLISHED_LEVELS_MAX, Book, Level, Proof
from protocol.fee import FeeSchedule
from protocol.market import MarketInfo, Outcome
from protocol.snapshot import BookSnapshot
from recordings.loader import Recording, Step

_TICK_E4: Final = 100
_FINE_TICK_E4: Final = 10
_FEE: Final = FeeSchedule(rate=Decimal("0.07"), exponent=1)
_MIN_ORDER_SIZE_E6: Final = 5_000_000
_Levels = dict[int, int]


def snapshots_of(recording: Recording) -> Iterator[BookSnapshot]:
    """Every state of the market, oldest first. Raises BundledRecordingError."""
    header = recording.header
    market = MarketInfo(
        condition_id=header.condition_id,
        slug=header.slug,
        series=header.slug.rpartition("-")[0],
        outcomes=(
            Outcome(name=header.outcomes[0], token_id=f"{header.slug}-{header.outcomes[0]}"),
            Outcome(name=header.outcomes[1], token_id=f"{header.slug}-{header.outcomes[1]}"),
        ),
        start_ms=header.start_ms,
        end_ms=header.end_ms,
        tick_size_e4=_TICK_E4,
        min_order_size_e6=_MIN_ORDER_SIZE_E6,
        fee=_FEE,
        neg_risk=False,
        accepting=True,
    )
    sides: tuple[dict[str, _Levels], dict[str, _Levels]] = (
        {"BUY": {}, "SELL": {}},
        {"BUY": {}, "SELL": {}},
    )
    for sequence, step in enumerate(recording.steps(), start=1):
        if not step.changes:
            continue
        _apply(sides, step)
        if any(change.price_e4 % market.tick_size_e4 for change in step.changes):
            market = msgspec.structs.replace(market, tick_size_e4=_FINE_TICK_E4)
        at_ms = header.start_ms + step.at_ms
        yield BookSnapshot(
            market=market,
            books=(
                _book(market.outcomes[0].token_id, sides[0], at_ms),
                _book(market.outcomes[1].token_id, sides[1], at_ms),
            ),
            proof=Proof.CHECKSUM,
            venue_timestamp_ms=at_ms,
            received_at_ns=at_ms * 1_000_000,
            published_at_ns=at_ms * 1_000_000,
            epoch=1,
            sequence=sequence,
        )


def _apply(sides: tuple[dict[str, _Levels], dict[str, _Levels]], step: Step) -> None:
    for change in step.changes:
        levels = sides[change.outcome][change.side]
        if change.size_e6:
            levels[change.price_e4] = change.size_e6
        else:
            levels.pop(change.price_e4, None)


def _book(token_id: str, sides: dict[str, _Levels], at_ms: int) -> Book:
    return Book(
        token_id=token_id,
        bids=_best(sides["BUY"], reverse=True),
        asks=_best(sides["SELL"], reverse=False),
        timestamp_ms=at_ms,
    )


def _best(levels: _Levels, *, reverse: bool) -> tuple[Level, ...]:
    return tuple(sorted(levels.items(), reverse=reverse)[:PUBLISHED_LEVELS_MAX])
