"""The bundled recordings as a worker would show them to a strategy: a book a second, a memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from protocol.book import PUBLISHED_LEVELS_MAX, Book, Level
from protocol.fee import FeeSchedule
from protocol.market import MarketInfo, Outcome
from recordings.loader import Recording, Step, bundled, load
from strategies.made_up import FEE
from strategies.memory import MarketMemory
from strategies.view import MarketView

_TICK_E4: Final = 100
_FINE_TICK_E4: Final = 10
_TOKENS: Final = ("1" * 77, "2" * 77)


def recordings() -> list[Recording]:
    """All that are bundled. Raises BundledRecordingError or OSError where they are damaged."""
    return [load(path) for path in bundled()]


def recorded_views(recording: Recording, fee: FeeSchedule = FEE) -> Iterator[MarketView]:
    """Each moment of the window in order; the memory in it is the market's, and goes on changing
    (`with_own_memory`)."""
    header = recording.header
    sides: tuple[dict[int, int], ...] = ({}, {}, {}, {})
    memory, market = MarketMemory(), _market(recording, _TICK_E4, fee)
    for sequence, step in enumerate(recording.steps(), start=1):
        _apply(sides, step)
        if market.tick_size_e4 != _FINE_TICK_E4 and _needs_fine_tick(step):
            market = _market(recording, _FINE_TICK_E4, fee)
        up, down = (
            Book(
                token_id=_TOKENS[outcome],
                bids=_best(sides[2 * outcome], highest=True),
                asks=_best(sides[2 * outcome + 1], highest=False),
            )
            for outcome in (0, 1)
        )
        now_ms = header.start_ms + step.at_ms
        memory.note(market, up, now_ms, 1, sequence)
        if step.at_ms >= 0:
            yield MarketView(market, up, down, header.end_ms - now_ms, memory)


def with_own_memory(view: MarketView) -> MarketView:
    """The same view, with a memory that nothing will be added to."""
    memory, seen, start = MarketMemory(), view.memory.rows, view.memory.start
    rows = seen if start is None or start in seen else (start, *seen)
    for row in rows:
        book = Book(token_id=view.up.token_id, bids=row.bids, asks=row.asks)
        memory.note(view.market, book, row.at_ms, row.epoch, row.sequence)
    return MarketView(view.market, view.up, view.down, view.time_to_close_ms, memory)


def _apply(sides: tuple[dict[int, int], ...], step: Step) -> None:
    for change in step.changes:
        side = sides[2 * change.outcome + (change.side == "SELL")]
        side.pop(change.price_e4, None)
        if change.size_e6:
            side[change.price_e4] = change.size_e6


def _best(side: dict[int, int], *, highest: bool) -> tuple[Level, ...]:
    return tuple(sorted(side.items(), reverse=highest)[:PUBLISHED_LEVELS_MAX])


def _needs_fine_tick(step: Step) -> bool:
    """The venue's tick becomes 0.001 near the ends of the price range."""
    return any(change.price_e4 % _TICK_E4 for change in step.changes)


def _market(recording: Recording, tick_size_e4: int, fee: FeeSchedule) -> MarketInfo:
    header = recording.header
    first, second = header.outcomes
    return MarketInfo(
        condition_id=header.condition_id,
        slug=header.slug,
        series="btc-15m",
        outcomes=(
            Outcome(name=first, token_id=_TOKENS[0]),
            Outcome(name=second, token_id=_TOKENS[1]),
        ),
        start_ms=header.start_ms,
        end_ms=header.end_ms,
        tick_size_e4=tick_size_e4,
        min_order_size_e6=5_000_000,
        fee=fee,
        neg_risk=False,
        accepting=True,
    )
