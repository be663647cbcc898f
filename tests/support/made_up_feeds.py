"""Feeds of books that no venue has seen, by a seed: several markets, and all that may go wrong.

Books of one market are a random walk of a few levels with round sizes, which often stay as they
are, so that what was taken of a level matters. Some are dark, crossed, one-sided or a placeholder;
some come in the same millisecond, some after a gap. Midnight (UTC) is in the middle.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import msgspec

from backtest.engine.assumptions import Assumptions, Polling
from backtest.engine.latency import Latency
from backtest.engine.run import run
from backtest.feed.events import Exclusion, FeedEvent, MarketPaid, event_at_ms
from functions.core.configuration import AccountConfiguration, Configuration, changed
from functions.core.evidence import Resolution
from protocol.book import Book, Level, Proof
from protocol.fee import FeeSchedule
from protocol.market import DOWN, UP, MarketInfo, Outcome
from protocol.snapshot import BookSnapshot
from strategies.interface import Hold, Signal, Strategy
from strategies.parameters import StrategyParameters
from strategies.view import MarketView

MIDNIGHT_MS: Final = 1_790_035_200_000
"""2026-09-22T00:00Z."""
START_MS: Final = MIDNIGHT_MS - 180_000
DAY_MS: Final = 86_400_000
PAYOUTS_E6: Final = (
    (1_000_000, 0),
    (0, 1_000_000),
    (500_000, 500_000),
    (505_000, 495_000),  # a void pays its last prices
    None,
)
"""Of Up and Down; None: nobody says."""
_STEPS_MS: Final = (0, 1, 200, 500, 1_000, 1_000, 1_000, 2_500, 11_000, 40_000)
_SIZES: Final = (1, 2, 2, 5, 30)
_DARK: Final = ((), ())
_PLACEHOLDER: Final = (((100, 10**9),), ((9_900, 10**9),))


class ListFeed:
    """Events of a list."""

    def __init__(self, events: Sequence[FeedEvent]) -> None:
        self.name = "made up"
        self.exclusions: list[Exclusion] = []
        self.events = events

    def __iter__(self) -> Iterator[FeedEvent]:
        """From the first to the last."""
        return iter(self.events)


def made_up_market(number: int, start_ms: int = START_MS, window_ms: int = 240_000) -> MarketInfo:
    """One of several; Down's token comes first in every other one."""
    tokens = [Outcome(name=name, token_id=f"{number}-{name}") for name in (UP, DOWN)]
    if number % 2:
        tokens.reverse()
    return MarketInfo(
        condition_id=f"0x{number}",
        slug=f"btc-updown-15m-{number}",
        series="btc-updown-15m",
        outcomes=(tokens[0], tokens[1]),
        start_ms=start_ms,
        end_ms=start_ms + window_ms,
        tick_size_e4=100,
        min_order_size_e6=5_000_000,
        fee=FeeSchedule(rate=Decimal("0.07"), exponent=1),
        neg_risk=False,
        accepting=True,
    )


def book_at(
    market: MarketInfo,
    at_ms: int,
    bids: Sequence[Level],
    asks: Sequence[Level],
    *,
    down: tuple[Sequence[Level], Sequence[Level]] | None = None,
    proof: Proof = Proof.CHECKSUM,
    sequence: int = 1,
) -> BookSnapshot:
    """Up's levels, best first; Down's mirror them where they are not given."""
    down_bids, down_asks = down or (_mirrored(asks), _mirrored(bids))
    of = {UP: (bids, asks), DOWN: (down_bids, down_asks)}
    first, second = (
        Book(token_id=each.token_id, bids=tuple(of[each.name][0]), asks=tuple(of[each.name][1]))
        for each in market.outcomes
    )
    return BookSnapshot(
        market=market,
        books=(first, second),
        proof=proof,
        venue_timestamp_ms=at_ms,
        received_at_ns=at_ms * 1_000_000,
        published_at_ns=at_ms * 1_000_000,
        epoch=1,
        sequence=sequence,
    )


def paid_of(
    market: MarketInfo, payouts_e6: tuple[int, int], at_ms: int | None = None
) -> MarketPaid:
    """What Up and Down paid; at its end, unless told."""
    up_e6, down_e6 = payouts_e6
    return MarketPaid(
        condition_id=market.condition_id,
        slug=market.slug,
        at_ms=market.end_ms if at_ms is None else at_ms,
        resolution=Resolution(
            payouts_e6={market.token_of(UP): up_e6, market.token_of(DOWN): down_e6},
            source="recording",
        ),
    )


def made_up_events(seed: int, *, books_max: int = 90) -> list[FeedEvent]:
    """One to four markets that overlap, in order of time; about a third of them are cut."""
    rng = random.Random(seed)
    streams: list[list[FeedEvent]] = []
    for number in range(rng.randint(1, 4)):
        start_ms = START_MS + rng.choice((0, 0, 30_000, 150_500))
        market = made_up_market(number, start_ms, rng.choice((60_000, 180_000, 300_500)))
        books: list[FeedEvent] = [*_books(rng, market, books_max)]
        streams.append(books)
        streams.append(sorted(_payments(rng, market), key=event_at_ms))
    stranger = paid_of(made_up_market(99), (1_000_000, 0), START_MS + rng.randint(0, 200_000))
    events = list(heapq.merge(*streams, [stranger], key=event_at_ms))
    return events[: rng.randint(1, len(events))] if rng.random() < 0.3 else events


def _payments(rng: random.Random, market: MarketInfo) -> Iterator[FeedEvent]:
    payouts_e6 = rng.choice(PAYOUTS_E6)
    if payouts_e6 is None:
        return
    at_ms = market.end_ms + rng.choice((0, 1, 20_000))
    yield paid_of(market, payouts_e6, at_ms)
    if rng.random() < 0.3:  # said twice, and differently: the first word holds
        yield paid_of(market, (0, 1_000_000), at_ms + 1)


def _books(rng: random.Random, market: MarketInfo, books_max: int) -> Iterator[BookSnapshot]:
    at_ms, mid_ticks = market.start_ms - rng.randint(0, 20_000), rng.randint(20, 80)
    levels = _levels(rng, mid_ticks)
    for sequence in range(1, rng.randint(2, books_max)):
        if rng.random() < 0.5:
            mid_ticks = min(max(mid_ticks + rng.choice((-2, -1, 0, 1, 2)), 5), 95)
            levels = _levels(rng, mid_ticks)
        elif rng.random() < 0.5:  # one level shows another size
            bids, asks = levels
            levels = bids, ((asks[0][0], rng.choice(_SIZES) * 1_000_000), *asks[1:])
        bids, asks = levels
        kind = rng.random()
        proof, down = Proof.TOP if kind < 0.5 else Proof.CHECKSUM, None
        if kind < 0.05:
            proof, (bids, asks) = Proof.NONE, _DARK
        elif kind < 0.10:
            bids, asks = _PLACEHOLDER
        elif kind < 0.14:
            asks = ()
        elif kind < 0.20:
            bids = ((asks[0][0] + rng.choice((0, 100)), 5_000_000), *bids)
        elif kind < 0.25:
            down = _levels(rng, 100 - mid_ticks)
        elif kind < 0.28:
            down = ((), ())
        yield book_at(market, at_ms, bids, asks, down=down, proof=proof, sequence=sequence)
        at_ms += rng.choice(_STEPS_MS)


def _levels(rng: random.Random, mid_ticks: int) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    spread = rng.randint(1, 2)

    def side(first: int, step: int) -> tuple[Level, ...]:
        ticks = (first + step * number for number in range(rng.randint(2, 4)))
        return tuple((100 * each, rng.choice(_SIZES) * 1_000_000) for each in ticks if each > 0)

    return side(mid_ticks - 1, -1), side(mid_ticks - 1 + spread, 1)


def _mirrored(levels: Sequence[Level]) -> tuple[Level, ...]:
    return tuple((10_000 - price_e4, size_e6) for price_e4, size_e6 in levels)


# -- who decides on them ---------------------------------------------------------------------------


class Leaning(Strategy):
    """Buys what the top of the book leans to; how much depends on all that it remembers."""

    name = "leaning"

    class Parameters(StrategyParameters):
        """None."""

    class Reason(StrEnum):
        """When it holds."""

        BALANCED = "balanced"

    @staticmethod
    def decide(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
        """A small order after an odd number of remembered books."""
        bid_e6, ask_e6 = (sum(size for _, size in side) for side in (view.up.bids, view.up.asks))
        if bid_e6 == ask_e6:
            return Hold(Leaning.Reason.BALANCED)
        rows = view.memory.rows
        return Signal(
            outcome=UP if bid_e6 > ask_e6 else DOWN,
            numbers={"lean": (bid_e6 - ask_e6) / (bid_e6 + ask_e6), "rows": float(len(rows))},
            spend_e6=1_200_000 if len(rows) % 2 else None,
        )


class Failing(Leaning):
    """The same, but it raises half of the time."""

    name = "failing"

    @staticmethod
    def decide(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
        """By what time it is, so that the same question is answered the same."""
        if now_ms // 700 % 2:
            raise ValueError(f"at {now_ms}")
        return Leaning.decide(view, parameters, now_ms)


def configuration_of(strategy: type[Strategy], **changes: str) -> Configuration:
    """The defaults with `changes`, as a person would type them."""
    settings, parameters = changed(AccountConfiguration(), {}, strategy.Parameters, changes)
    return Configuration(
        version=1,
        strategy=strategy.name,
        settings=settings,
        parameters=parameters,
        limits=settings.limits(1),
        gate=settings.gate_config(),
        order=settings.order_config(),
    )


def made_up_configuration(seed: int, strategy: type[Strategy] = Leaning) -> Configuration:
    """Limits that bind."""
    rng = random.Random(f"configuration {seed}")
    return configuration_of(
        strategy,
        max_positions=rng.choice(("1", "3", "10")),
        cooldown_s=rng.choice(("0", "0", "2", "30")),
        max_entries_per_market=rng.choice(("none", "none", "1", "4")),
        daily_loss_limit_usd=rng.choice(("1.5", "5", "200")),
        daily_spend_cap_usd=rng.choice(("9", "20", "200")),
        size_usd=rng.choice(("1.1", "2.5", "4")),
        min_time_to_close_s=rng.choice(("0", "20")),
    )


_LATENCIES: Final = (
    Latency.constant(0),
    Latency.constant(10),
    Latency.constant(1_000),
    Latency.between(0, 20_000),
)
_POLLS: Final = (
    Polling(every_ms=5_000, execution=Latency.between(0, 3_000)),
    Polling(every_ms=3_000, execution=Latency.between(5_000, 45_000)),
    None,
)


def assumptions_of(seed: int) -> Assumptions:
    """Latencies from none to one beyond gaps; scanners quick and slow, and none."""
    return Assumptions(
        latency=_LATENCIES[seed % len(_LATENCIES)],
        taker_delay_ms=(0, 250)[seed // 2 % 2],
        poll=_POLLS[seed % len(_POLLS)],
        seed=seed,
    )


def plain(value: object) -> bytes:
    """Anything of a run as bytes that are the same for the same run."""
    return msgspec.json.encode(value, enc_hook=_enc_hook)


def digest() -> str:
    """Of some runs, all that they have seen."""
    told = hashlib.sha256()
    for seed in range(4):
        configuration, feed = made_up_configuration(seed), ListFeed(made_up_events(seed))
        told.update(plain(run(feed, Leaning, configuration, assumptions_of(seed))))
    return told.hexdigest()


def _enc_hook(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return [value.dtype.str, value.shape, value.tobytes().hex()]  # an array
