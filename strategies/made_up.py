"""A market and books that no venue has seen: what a strategy is asked about in tests. Pure.

view = made_up_view(bids=((5_000, 10_000_000),), asks=((5_100, 2_000_000),))
answer = MyStrategy.decide(view, MyStrategy.Parameters(), NOW_MS)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final, TypeAlias

from protocol.book import Book, Level
from protocol.fee import FeeSchedule
from protocol.market import DOWN, UP, MarketInfo, Outcome
from protocol.units import PRICE_SCALE
from strategies.memory import MarketMemory
from strategies.view import MarketView

START_MS: Final = 1_700_000_100_000
WINDOW_MS: Final = 900_000
NOW_MS: Final = START_MS + 200_000
"""A moment in the made-up market's window, epoch milliseconds."""
UP_TOKEN: Final = "1" * 77
DOWN_TOKEN: Final = "2" * 77
FEE: Final = FeeSchedule(rate=Decimal("0.07"), exponent=1)
"""Of the venue's crypto markets."""

UpBook: TypeAlias = tuple[int, Sequence[Level], Sequence[Level]]
"""A book of Up that came before: (milliseconds before now, bids, asks)."""


def made_up_market(tick_size_e4: int = 100) -> MarketInfo:
    """A quarter of an hour of Bitcoin, with the venue's fee."""
    return MarketInfo(
        condition_id="0x" + "ab" * 32,
        slug=f"btc-updown-15m-{START_MS // 1000}",
        series="btc-15m",
        outcomes=(
            Outcome(name=UP, token_id=UP_TOKEN),
            Outcome(name=DOWN, token_id=DOWN_TOKEN),
        ),
        start_ms=START_MS,
        end_ms=START_MS + WINDOW_MS,
        tick_size_e4=tick_size_e4,
        min_order_size_e6=5_000_000,
        fee=FEE,
        neg_risk=False,
        accepting=True,
    )


def made_up_view(
    bids: Sequence[Level],
    asks: Sequence[Level],
    *,
    down_bids: Sequence[Level] | None = None,
    down_asks: Sequence[Level] | None = None,
    before: Iterable[UpBook] = (),
    now_ms: int = NOW_MS,
    market: MarketInfo | None = None,
) -> MarketView:
    """What a strategy sees at `now_ms` of a market whose Up book has these levels, best first.

    Prices are in 1e-4 USD, sizes in 1e-6 shares. Down's book mirrors Up's where it is not given.
    `before`: earlier books of Up, oldest first; the book itself is the memory's last.
    """
    market = market or made_up_market()
    up = Book(token_id=UP_TOKEN, bids=tuple(bids), asks=tuple(asks))
    down = Book(
        token_id=DOWN_TOKEN,
        bids=tuple(_mirrored(asks) if down_bids is None else down_bids),
        asks=tuple(_mirrored(bids) if down_asks is None else down_asks),
    )
    memory, sequence = MarketMemory(), 0
    for sequence, (ago_ms, old_bids, old_asks) in enumerate(before, start=1):
        old = Book(token_id=UP_TOKEN, bids=tuple(old_bids), asks=tuple(old_asks))
        memory.note(market, old, now_ms - ago_ms, 1, sequence)
    memory.note(market, up, now_ms, 1, sequence + 1)
    return MarketView(market, up, down, market.end_ms - now_ms, memory)


def _mirrored(levels: Sequence[Level]) -> tuple[Level, ...]:
    """A bid for Up at p is an offer of Down at 1 - p, and the other way round."""
    return tuple((PRICE_SCALE - price_e4, size_e6) for price_e4, size_e6 in levels)
