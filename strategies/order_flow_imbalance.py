"""`order_flow_imbalance`: buy the outcome that what has just happened to the book pushes to.

Cont, Kukanov and Stoikov 2014, "The price impact of order book events": between two books, size
that is added to the bids or taken from the asks pushes the price up, the opposite pushes it down;
the sum over a window moves the mid by about half of it over the depth of the best levels. Over
several levels as in Xu, Gould and Howison 2018, "Multi-level order-flow imbalance in a limit order
book", here with equal weights. Divided by twice the mean size of a level, the flow is in ticks: a
book that moves by one level as a whole is a flow of one tick.

Assumes that the mid follows within seconds where it has not followed yet, and that what leaves a
book has left it for a reason. Both papers measure the move of the *same* window, so that anything
is left to follow is the claim of this strategy, not theirs.

Only Up's rows in memory are looked at (Down's book mirrors it). The memory may miss books: others
went to another worker, or a newer one displaced them. Changes of a level whose price stays add up
all the same; where prices moved in between, the flow of the missed books is only about right.
"""

from __future__ import annotations

from enum import StrEnum

from protocol.book import Book, Level
from protocol.market import DOWN, UP
from protocol.units import PRICE_SCALE
from strategies.interface import Hold, Signal, Strategy
from strategies.memory import BookRow
from strategies.parameters import StrategyParameters, parameter
from strategies.view import MarketView


class OrderFlowImbalance(Strategy):
    """See the module's text."""

    name = "order_flow_imbalance"

    class Parameters(StrategyParameters):
        """When the signal is given; prices in 1e-4 USD."""

        levels: int = parameter(3, "How many levels of each side count.", ge=1, le=5, tunable=True)
        window_s: float = parameter(
            10.0, "How far back books are looked at, in seconds.", ge=0.1, le=120, tunable=True
        )
        books_min: int = parameter(
            5, "The fewest books of the window to decide on.", ge=2, le=40, tunable=True
        )
        books_max: int = parameter(
            32, "The most books of the window to look at: the newest.", ge=2, le=40, tunable=True
        )
        flow_min_ticks: float = parameter(
            2.0, "The least flow of the window, either way, in ticks.", ge=0, le=100, tunable=True
        )
        newest_min_ticks: float = parameter(
            0.5,
            "How much of it the newest book must have brought, in ticks: most books bring nothing, "
            "and are not looked at further.",
            ge=0,
            le=100,
            tunable=True,
        )
        mid_min_e4: int = parameter(
            2_000, "The lowest mid of Up that is traded.", ge=0, le=10_000, tunable=True
        )
        mid_max_e4: int = parameter(
            8_000, "The highest mid of Up that is traded.", ge=0, le=10_000, tunable=True
        )
        spread_max_e4: int = parameter(
            200, "The widest spread, of Up and of what is bought.", ge=1, le=10_000, tunable=True
        )
        hurdle_ticks: float = parameter(
            0.0,
            "How much more than half the spread and the fee the flow must promise, in ticks; "
            "0: what an entry costs is not asked.",
            ge=0,
            le=100,
            tunable=True,
        )

    class Reason(StrEnum):
        """Why it holds, in the order of the checks."""

        ONE_SIDED = "one_sided"
        CROSSED = "crossed"
        SPREAD_TOO_WIDE = "spread_too_wide"
        OUTSIDE_PRICE_ZONE = "outside_price_zone"
        TOO_FEW_BOOKS = "too_few_books"
        NO_NEWS = "no_news"
        NO_FLOW = "no_flow"
        ALREADY_MOVED = "already_moved"
        BELOW_HURDLE = "below_hurdle"

    @staticmethod
    def decide(view: MarketView, parameters: Parameters, now_ms: int) -> Signal | Hold:
        """Decide on one book and those before it; `now_ms` does not matter here."""
        up, reason = view.up, OrderFlowImbalance.Reason
        mid_e4 = _mid_e4(up, parameters.spread_max_e4)
        if isinstance(mid_e4, Hold):
            return mid_e4
        if not parameters.mid_min_e4 <= mid_e4 <= parameters.mid_max_e4:
            return Hold(reason.OUTSIDE_PRICE_ZONE)

        rows, levels = view.memory.rows, parameters.levels
        if len(rows) < parameters.books_min or len(rows) < 2:
            return Hold(reason.TOO_FEW_BOOKS)
        # The newest step alone first: it is cheap, and most books end here.
        newest_ticks = _flow_ticks(rows[-2:], levels)
        if abs(newest_ticks) < parameters.newest_min_ticks:
            return Hold(reason.NO_NEWS)
        window = _window(rows, parameters)
        if len(window) < parameters.books_min:
            return Hold(reason.TOO_FEW_BOOKS)
        flow_ticks = _flow_ticks(window, levels)
        if abs(flow_ticks) < parameters.flow_min_ticks or flow_ticks * newest_ticks <= 0:
            return Hold(reason.NO_FLOW)

        tick_e4, first_mid_e4 = view.market.tick_size_e4, window[0].mid_e4
        moved_ticks = 0.0 if first_mid_e4 is None else (mid_e4 - first_mid_e4) / tick_e4
        pending_ticks = flow_ticks - moved_ticks
        if pending_ticks * flow_ticks <= 0:
            return Hold(reason.ALREADY_MOVED)
        outcome = UP if flow_ticks > 0 else DOWN
        bought_mid_e4 = _mid_e4(view.book(outcome), parameters.spread_max_e4)
        if isinstance(bought_mid_e4, Hold):
            return bought_mid_e4
        value_e4 = min(bought_mid_e4 + abs(pending_ticks) * tick_e4, float(PRICE_SCALE))
        if parameters.hurdle_ticks:
            edge_ticks = view.edge_after_costs_ticks(outcome, value_e4)
            if edge_ticks is None or edge_ticks < parameters.hurdle_ticks:
                return Hold(reason.BELOW_HURDLE)
        return Signal(
            outcome=outcome,
            numbers={
                "flow_ticks": flow_ticks,
                "newest_ticks": newest_ticks,
                "moved_ticks": moved_ticks,
                "books": float(len(window)),
            },
            value_e4=value_e4,
        )

    @staticmethod
    def bids_seen(parameters: Parameters) -> int:
        """The best one; all else it reads in memory."""
        return 1

    @staticmethod
    def measures(view: MarketView, parameters: Parameters, now_ms: int) -> dict[str, float]:
        """What `decide` compares, of Up's book and those before it."""
        up, rows, numbers = view.up, view.memory.rows, dict[str, float]()
        if up.mid_e4 is not None and up.spread_e4 is not None:
            numbers |= {"mid_e4": up.mid_e4, "spread_e4": up.spread_e4}
        if rows:
            window = _window(rows, parameters)
            numbers["books"] = float(len(window))
            numbers["newest_ticks"] = abs(_flow_ticks(rows[-2:], parameters.levels))
            numbers["flow_ticks"] = abs(_flow_ticks(window, parameters.levels))
        return numbers


def _mid_e4(book: Book, spread_max_e4: int) -> float | Hold:
    """The book's mid, or why it has none that means something."""
    mid_e4, spread_e4, reason = book.mid_e4, book.spread_e4, OrderFlowImbalance.Reason
    if mid_e4 is None or spread_e4 is None:
        return Hold(reason.ONE_SIDED)
    if spread_e4 <= 0:
        return Hold(reason.CROSSED)
    return mid_e4 if spread_e4 <= spread_max_e4 else Hold(reason.SPREAD_TOO_WIDE)


def _window(
    rows: tuple[BookRow, ...], parameters: OrderFlowImbalance.Parameters
) -> tuple[BookRow, ...]:
    """The newest rows, oldest first, as far as the window reaches."""
    rows = rows[-parameters.books_max :]
    newest_ms, window_ms = rows[-1].at_ms, parameters.window_s * 1_000
    for index in range(len(rows) - 1, -1, -1):
        # Another feeder's clock may have been ahead: what lies in the future is not of the window.
        if not 0 <= newest_ms - rows[index].at_ms <= window_ms:
            return rows[index + 1 :]
    return rows


def _flow_ticks(rows: tuple[BookRow, ...], levels: int) -> float:
    """The flow from the first of the rows to the last; 0 where no book has a level."""
    flow_e6 = size_e6 = counted = 0
    before: BookRow | None = None
    for row in rows:
        bids, asks = row.bids[:levels], row.asks[:levels]
        size_e6 += sum([size for _, size in bids]) + sum([size for _, size in asks])
        counted += len(bids) + len(asks)
        if before is not None:
            if bids != (was := before.bids[:levels]):
                flow_e6 += _pushed_e6(was, bids, 1)
            if asks != (was := before.asks[:levels]):
                flow_e6 -= _pushed_e6(was, asks, -1)
        before = row
    # Mean size of a level; the flow is one of all levels together.
    return flow_e6 * counted / (2 * levels * size_e6) if size_e6 else 0.0


def _pushed_e6(was: tuple[Level, ...], now: tuple[Level, ...], better: int) -> int:
    """Size that came to one side less what left it, level by level (1e-6 shares).

    `better` is 1 where a higher price is nearer to the other side (bids), else -1. A level that is
    not there counts as one without size, further away than any.
    """
    pushed_e6 = 0
    for (was_e4, was_e6), (now_e4, now_e6) in zip(was, now, strict=False):
        if now_e4 == was_e4:
            pushed_e6 += now_e6 - was_e6
        elif (now_e4 - was_e4) * better > 0:
            pushed_e6 += now_e6
        else:
            pushed_e6 -= was_e6
    pushed_e6 += sum([size for _, size in now[len(was) :]])
    return pushed_e6 - sum([size for _, size in was[len(now) :]])
