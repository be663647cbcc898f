"""Anything that a strategy may be shown: markets, books and memories, plausible and not.

What a worker decodes is within `protocol.bounds`; so is everything here, and nothing else is: books
may be empty, one-sided, crossed, without a tick grid and at the ends of the price range, the memory
may have nothing to do with the book, and times may stand still or go back.
"""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import annotated_types
from hypothesis import strategies as st

from protocol.book import Book, Level
from protocol.fee import FeeSchedule
from protocol.market import DOWN, UP, MarketInfo, Outcome
from protocol.units import AMOUNT_E6_MAX
from strategies.memory import MarketMemory
from strategies.parameters import StrategyParameters
from strategies.view import MarketView

TICKS_E4 = (1, 5, 10, 25, 50, 100, 1_000)
START_MS = 1_790_000_000_000
_UP, _DOWN = "1" * 77, "2" * 77


@st.composite
def markets(
    draw: st.DrawFn,
    window_ms: st.SearchStrategy[int] = st.sampled_from([900_000, 3_600_000, 0, 10**12]),  # noqa: B008
) -> MarketInfo:
    """A window that has begun, or has not, or never ends; any tick, any fee."""
    start_ms = draw(st.sampled_from([0, START_MS, START_MS + 10**7]))
    rate = draw(st.sampled_from(["0", "0.07", "0.02", "1", "0.000000001"]))
    return MarketInfo(
        condition_id="0xc1",
        slug="btc-updown-15m-1790000000",
        series="btc-updown-15m",
        outcomes=(Outcome(name=UP, token_id=_UP), Outcome(name=DOWN, token_id=_DOWN)),
        start_ms=start_ms,
        end_ms=start_ms + draw(window_ms),
        tick_size_e4=draw(st.sampled_from(TICKS_E4)),
        min_order_size_e6=5_000_000,
        fee=FeeSchedule(rate=Decimal(rate), exponent=draw(st.integers(0, 10))),
        neg_risk=False,
        accepting=True,
    )


def _side(*, best_first_high: bool) -> st.SearchStrategy[tuple[Level, ...]]:
    sizes = st.one_of(st.integers(1, 10**9), st.sampled_from([1, AMOUNT_E6_MAX]))
    prices = st.one_of(st.integers(1, 9_999), st.sampled_from([1, 2, 4_900, 5_000, 5_100, 9_999]))
    return st.dictionaries(prices, sizes, max_size=7).map(
        lambda levels: tuple(sorted(levels.items(), reverse=best_first_high))
    )


def wild_books(token_id: str = _UP) -> st.SearchStrategy[Book]:
    """Strictly best first, as the decoder has it, and nothing else: crossed as often as not."""
    return st.builds(
        Book,
        token_id=st.just(token_id),
        bids=_side(best_first_high=True),
        asks=_side(best_first_high=False),
    )


def _book(token_id: str, tick_e4: int, bid: int, ask: int, chance: random.Random) -> Book:
    def side(ticks: range) -> tuple[Level, ...]:
        prices = (each * tick_e4 for each in ticks)
        return tuple((e4, chance.randint(1, 900) * 10**6) for e4 in prices if 0 < e4 < 10_000)

    return Book(
        token_id=token_id, bids=side(range(bid, bid - 12, -1)), asks=side(range(ask, ask + 12))
    )


def mirrored_book(book: Book, token_id: str = _DOWN) -> Book:
    """The other token's."""
    return Book(
        token_id=token_id,
        bids=tuple((10_000 - price, size) for price, size in book.asks),
        asks=tuple((10_000 - price, size) for price, size in book.bids),
    )


def walked(market: MarketInfo, *, seed: int, count: int, gap_ms: int) -> list[tuple[int, Book]]:
    """(time, Up's book) of a market that moves by ticks, seeded; from its start on."""
    chance, tick_e4 = random.Random(seed), market.tick_size_e4
    ticks, at_ms, books = 10_000 // tick_e4, market.start_ms, []
    bid = max(1, ticks // 2 - 1)
    for _ in range(count):
        bid = min(max(1, bid + chance.choice((-1, 0, 0, 0, 1))), max(1, ticks - 2))
        ask = bid + chance.choice((1, 1, 1, 2))
        books.append((at_ms, _book(_UP, tick_e4, bid, ask, chance)))
        at_ms += chance.randint(0, 2 * gap_ms)
    return books


@st.composite
def plausible_views(draw: st.DrawFn) -> MarketView:
    """A market that has moved for a while, and the newest book of it: what strategies look at."""
    market = draw(markets(window_ms=st.sampled_from([300_000, 900_000, 3_600_000])))
    seen = walked(
        market,
        seed=draw(st.integers(0, 2**16)),
        count=draw(st.sampled_from([2, 10, 40, 120, 300])),
        gap_ms=draw(st.sampled_from([30, 300, 1_000, 4_000])),
    )
    at_ms, up = seen[-1]
    return MarketView(
        market, up, mirrored_book(up), market.end_ms - at_ms, _memory_of(market, seen)
    )


@st.composite
def wild_views(draw: st.DrawFn) -> MarketView:
    """Any books, and a memory that ends with one of them, or not."""
    market = draw(markets())
    at_ms = st.integers(0, 4 * 10**12) | st.just(market.start_ms) | st.just(market.end_ms)
    seen = draw(st.lists(st.tuples(at_ms, wild_books()), max_size=3))
    if draw(st.booleans()):
        seed = draw(st.integers(0, 2**16))
        gap_ms = draw(st.sampled_from([0, 1_000, 20_000]))
        seen = walked(market, seed=seed, count=60, gap_ms=gap_ms) + seen
    up = seen[-1][1] if seen and draw(st.booleans()) else draw(wild_books())
    down = mirrored_book(up) if draw(st.booleans()) else draw(wild_books(_DOWN))
    left_ms = draw(st.sampled_from([600_000, 1, 0, -1, -(10**12)]) | st.integers(0, 10**9))
    return MarketView(market, up, down, left_ms, _memory_of(market, seen))


def views() -> st.SearchStrategy[MarketView]:
    """Both kinds, the plausible one more often: of what is not, most ends with the first check."""
    return plausible_views() | plausible_views() | wild_views()


def _memory_of(market: MarketInfo, seen: list[tuple[int, Book]]) -> MarketMemory:
    memory = MarketMemory()
    for number, (at_ms, book) in enumerate(seen):
        memory.note(market, book, at_ms, 1, number)
    return memory


def parameters_of(model: type[StrategyParameters]) -> st.SearchStrategy[StrategyParameters]:
    """Any that are within their bounds; what has no numeric type keeps its default."""
    drawn = {
        name: any_number_of(field.annotation, field.metadata)
        for name, field in model.model_fields.items()
        if field.annotation in (int, float)
    }
    few = (
        st.lists(st.sampled_from(sorted(drawn)), max_size=2, unique=True) if drawn else st.just([])
    )
    one_or_two = few.flatmap(lambda names: st.fixed_dictionaries({n: drawn[n] for n in names}))
    # Where every parameter is drawn, nearly every answer is a Hold.
    values = one_or_two | st.fixed_dictionaries({}, optional=drawn)
    return values.map(lambda given: model(**given))


def any_number_of(kind: Any, metadata: list[Any]) -> st.SearchStrategy[float]:
    """One parameter's values, its bounds among them."""
    low, high = bounds_of(metadata)
    if kind is int:
        return st.integers(int(low), int(high)) | st.sampled_from([int(low), int(high)])
    open_low = any(isinstance(each, annotated_types.Gt) for each in metadata)
    open_high = any(isinstance(each, annotated_types.Lt) for each in metadata)
    return st.floats(low, high, exclude_min=open_low, exclude_max=open_high, allow_nan=False)


def bounds_of(metadata: list[Any]) -> tuple[float, float]:
    """The lowest and the highest value, as far as pydantic's constraints tell. Raises KeyError."""
    bounds: dict[str, float] = {}
    for each in metadata:
        for side, name in (("low", "ge"), ("low", "gt"), ("high", "le"), ("high", "lt")):
            value: float | None = getattr(each, name, None)
            if value is not None:
                bounds[side] = value
    return bounds["low"], bounds["high"]
