"""Order-flow imbalance: against the paper's formula, and what is bought by it."""

from __future__ import annotations

import random
from itertools import pairwise

import msgspec
import pytest

from protocol.book import Book, Level
from protocol.market import DOWN, UP
from strategies.interface import Hold, Signal
from strategies.memory import BookRow, MarketMemory
from strategies.order_flow_imbalance import OrderFlowImbalance, _flow_ticks
from strategies.view import MarketView
from tests.support.generated_views import mirrored_book, walked
from tests.support.trading_builders import market

START_MS = 1_790_000_000_000
INFO = market(start_ms=START_MS, end_ms=START_MS + 900_000)
SIZE_E6 = 100_000_000
Parameters, Reason = OrderFlowImbalance.Parameters, OrderFlowImbalance.Reason


def even_book(bid_e4: int = 4_900, sizes: tuple[int, int] = (SIZE_E6, SIZE_E6)) -> Book:
    """Five levels of each side, a tick apart, the best bid at `bid_e4`."""
    bids = tuple((bid_e4 - 100 * n, sizes[0]) for n in range(5))
    return Book(
        token_id="u", bids=bids, asks=tuple((bid_e4 + 100 + 100 * n, sizes[1]) for n in range(5))
    )


def seen(*books: Book, gap_ms: int = 1_000) -> MarketView:
    memory = MarketMemory()
    for number, book in enumerate(books):
        memory.note(INFO, book, START_MS + number * gap_ms, 1, number)
    return MarketView(INFO, books[-1], mirrored_book(books[-1]), 600_000, memory)


def decide(view: MarketView, **parameters: float) -> Signal | Hold:
    low = {"newest_min_ticks": 0.1, "flow_min_ticks": 1.0}
    return OrderFlowImbalance.decide(view, Parameters(**low | parameters), 0)


def as_the_paper_has_it(rows: tuple[BookRow, ...], levels: int) -> float:
    """e_n of Cont, Kukanov and Stoikov (2014), equation 5, summed over levels and books."""
    total, sizes, counted = 0, 0, 0
    for level in range(levels):
        for before, after in pairwise(rows):
            (pb0, qb0), (pb1, qb1) = before.bids[level], after.bids[level]
            (pa0, qa0), (pa1, qa1) = before.asks[level], after.asks[level]
            total += (pb1 >= pb0) * qb1 - (pb1 <= pb0) * qb0
            total += -(pa1 <= pa0) * qa1 + (pa1 >= pa0) * qa0
        for row in rows:
            sizes += row.bids[level][1] + row.asks[level][1]
            counted += 2
    return total / levels / (2 * sizes / counted)


@pytest.mark.parametrize("levels", [1, 3, 5])
@pytest.mark.parametrize("seed", range(5))
def test_the_flow_is_the_papers(seed: int, levels: int) -> None:
    books = [b for _, b in walked(INFO, seed=seed, count=30, gap_ms=100)]
    rows = tuple(r for r in seen(*books).memory.rows if min(len(r.bids), len(r.asks)) == 5)
    assert len(rows) > 20
    assert _flow_ticks(rows, levels) == pytest.approx(as_the_paper_has_it(rows, levels))


@pytest.mark.parametrize("ticks", [-2, -1, 1, 2])
def test_a_book_that_moves_as_a_whole_is_a_flow_of_a_tick(ticks: int) -> None:
    rows = seen(even_book(), even_book(4_900 + 100 * ticks)).memory.rows
    assert _flow_ticks(rows, 3) == pytest.approx(1 if ticks > 0 else -1)


def test_missed_books_do_not_matter_where_no_price_moves() -> None:
    chance = random.Random(7)
    books = [
        even_book(sizes=(chance.randint(1, 99) * 10**6, chance.randint(1, 99) * 10**6))
        for _ in range(9)
    ]
    all_rows, few = seen(*books).memory.rows, seen(books[0], books[-1]).memory.rows

    def flow_e6(rows: tuple[BookRow, ...]) -> float:
        sizes = [size for row in rows for _, size in (*row.bids, *row.asks)]
        return _flow_ticks(rows, 5) * 2 * sum(sizes) / len(sizes)

    assert flow_e6(all_rows) == pytest.approx(flow_e6(few))


def test_levels_that_are_not_there_count_as_none() -> None:
    def row(bids: tuple[Level, ...]) -> BookRow:
        return BookRow(START_MS, 1, 1, bids, ((5_000, SIZE_E6),))

    one, two = ((4_900, SIZE_E6),), ((4_900, SIZE_E6), (4_800, SIZE_E6))
    came = _flow_ticks((row(one), row(two)), 2)
    went = _flow_ticks((row(two), row(one)), 2)
    assert came == -went == pytest.approx(0.25)  # one of two levels, one of two sides
    assert _flow_ticks((row(()), row(())), 2) == 0
    nothing = msgspec.structs.replace(row(()), asks=())
    assert _flow_ticks((nothing, nothing), 2) == 0


def test_size_that_keeps_coming_to_the_bids_buys_up_and_to_the_asks_down() -> None:
    up = decide(seen(*(even_book(sizes=(SIZE_E6 * n, SIZE_E6)) for n in range(1, 9))))
    assert isinstance(up, Signal)
    assert up.outcome == UP
    assert up.numbers["flow_ticks"] > 0
    assert up.numbers["moved_ticks"] == 0
    assert up.value_e4 == pytest.approx(4_950 + 100 * up.numbers["flow_ticks"])
    down = decide(seen(*(even_book(sizes=(SIZE_E6, SIZE_E6 * n)) for n in range(1, 9))))
    assert isinstance(down, Signal)
    assert (down.outcome, down.value_e4) == (DOWN, pytest.approx(up.value_e4 + 100))
    assert down.numbers["flow_ticks"] == pytest.approx(-up.numbers["flow_ticks"])


GROWING = tuple(even_book(sizes=(SIZE_E6 * n, SIZE_E6)) for n in range(1, 9))
FALLEN = even_book(4_800, (SIZE_E6, SIZE_E6 * 9))


@pytest.mark.parametrize(
    ("reason", "view", "parameters"),
    [
        (Reason.ONE_SIDED, seen(Book(token_id="u", bids=(), asks=((5_000, 1),))), {}),
        (Reason.CROSSED, seen(Book(token_id="u", bids=((5_000, 1),), asks=((5_000, 1),))), {}),
        (Reason.SPREAD_TOO_WIDE, seen(*GROWING), {"spread_max_e4": 99}),
        (Reason.OUTSIDE_PRICE_ZONE, seen(*GROWING), {"mid_max_e4": 4_900}),
        (Reason.TOO_FEW_BOOKS, seen(*GROWING[:4]), {}),
        # Enough in memory, but not within the window:
        (Reason.TOO_FEW_BOOKS, seen(*GROWING, gap_ms=3_000), {}),
        (Reason.NO_NEWS, seen(*GROWING, GROWING[-1]), {}),
        (Reason.NO_FLOW, seen(*GROWING), {"flow_min_ticks": 5}),
        # The newest book pushes against the others:
        (Reason.NO_FLOW, seen(*GROWING, GROWING[0]), {"flow_min_ticks": 0.1}),
        (Reason.BELOW_HURDLE, seen(*GROWING), {"hurdle_ticks": 50}),
        (
            Reason.ALREADY_MOVED,
            seen(*(even_book(4_000 + 300 * n) for n in range(5))),
            {"newest_min_ticks": 0.1},
        ),
    ],
)
def test_each_refusal_has_its_reason(
    reason: Reason, view: MarketView, parameters: dict[str, float]
) -> None:
    assert decide(view, **parameters) == Hold(reason)


def test_a_row_from_the_future_is_not_of_the_window() -> None:
    memory = MarketMemory()
    for number, book in enumerate(GROWING):  # another feeder's clock was a minute ahead
        at_ms = START_MS + number * 1_000 + (60_000 if number < 5 else 0)
        memory.note(INFO, book, at_ms, 1, number)
    view = MarketView(INFO, GROWING[-1], mirrored_book(GROWING[-1]), 600_000, memory)
    answer = decide(view, books_min=2, flow_min_ticks=0, newest_min_ticks=0)
    assert isinstance(answer, Signal)
    assert answer.numbers["books"] == 3
