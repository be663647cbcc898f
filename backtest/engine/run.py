"""The run: a feed's books in order, each decided on as a worker does, orders on a virtual clock.

1. Time is the feed's: a book is decided on in the millisecond in which it was received, and nothing
   that was received later is looked at (no look-ahead).
2. What is due (an arrival, a market's end, a scan) before a book happens before it. An order meets
   the last book at or before its arrival in the `unchanged` lane, the first one after it in the
   `next` lane; there its account learns of it with that book.
3. Both lanes, and the scanner's, are offered the same signals; each has an account of its own.
4. A position's slot is free at its market's end; what it won is booked when the feed says it.
5. What a run keeps is bounded by the markets that are open, beside what `observations` says.

Does not model: other takers, our own impact, the venue's refusals, several workers, a store's time.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from functools import partial
from math import nan
from typing import Final

from backtest.engine.assumptions import Assumptions, Bracket
from backtest.engine.collected import SignalColumns
from backtest.engine.desk import Desk, Offered, UnderWay, other_limit_e4
from backtest.engine.market_run import MarketRun
from backtest.engine.observations import Lane, MarketSeen, Observations
from backtest.engine.scanner import SCAN_MS, Scanner
from backtest.feed.events import Exclusion, Feed, FeedEvent, LeftOut, MarketPaid
from functions.core.ask import ask_strategy
from functions.core.configuration import Configuration
from functions.core.gate import hold_reason_of
from functions.core.hold import HoldReason, hold
from functions.core.market_memories import MarketMemories
from functions.core.strategy_failures import StrategyFailures
from functions.core.strategy_rules import said_of
from functions.core.trade import Trade
from protocol.market import DOWN, UP, MarketInfo
from protocol.snapshot import BookSnapshot
from strategies.interface import Hold, Strategy
from strategies.view import MarketView

_PROGRESS_EVERY: Final = 5_000


def run(
    feed: Feed,
    strategy: type[Strategy],
    configuration: Configuration,
    assumptions: Assumptions,
    progress: Callable[[int], None] | None = None,
) -> Observations:
    """Run the strategy over a feed, once. Raises FeedError.

    `progress` is called with the number of moments now and then.
    """
    one = _Run(strategy, configuration, assumptions)
    one.play(feed, progress)
    return one.observations(feed)


class _Run:
    def __init__(
        self, strategy: type[Strategy], configuration: Configuration, assumptions: Assumptions
    ) -> None:
        self._strategy = strategy
        self._configuration = configuration
        self._assumptions = assumptions
        self._memories = MarketMemories()
        self._failures = StrategyFailures()
        self._error = ""
        self._strength_name = ""
        self._moments = 0
        self._holds: Counter[str] = Counter()
        self._held: StrEnum | None = None
        self._held_times = 0
        self._episodes = 0
        self._runs: dict[str, MarketRun] = {}
        self._markets: list[MarketSeen] = []
        self._ended: dict[str, tuple[MarketInfo, MarketSeen]] = {}
        """By condition id."""
        self._signals = SignalColumns()
        self._exclusions: list[Exclusion] = []
        self._due: list[tuple[int, int, Desk | None, UnderWay | MarketRun | None]] = []
        """What happens at a time: an order's arrival at its desk, a market's end, or (None) that
        the scanner looks, which comes first in its millisecond (0) and only where markets are."""
        self._numbers = 0
        limits = configuration.limits
        self._stream = [
            Desk(Lane(name=f"stream, {each}", bracket=each), limits) for each in Bracket
        ]
        self._scanner: Scanner | None = None
        if assumptions.poll is not None:
            # Failures of its own: what a scanner asks must not disable the stream's strategy.
            ask = partial(self._ask, StrategyFailures())
            self._scanner = Scanner(assumptions, configuration, self._memories, ask)
        self._scans = False

    def play(self, feed: Iterable[FeedEvent], progress: Callable[[int], None] | None) -> None:
        due, moments, now_ms = self._due, 0, 0
        for event in feed:
            if type(event) is MarketPaid:
                now_ms = event.at_ms
                self._paid(event)
                continue
            assert isinstance(event, BookSnapshot)  # noqa: S101 - a feed has these two
            now_ms = event.received_at_ns // 1_000_000
            if due and due[0][0] < now_ms:
                self._until(now_ms)
            self._moment(event, now_ms)
            moments += 1
            if progress is not None and not moments % _PROGRESS_EVERY:
                progress(moments)
        self._moments = moments
        self._finish(now_ms)

    def _moment(self, snapshot: BookSnapshot, now_ms: int) -> None:
        market = snapshot.market
        run = self._runs.get(market.condition_id)
        if run is None:
            if market.condition_id in self._ended:  # what comes after its end
                self._holds[HoldReason.TOO_CLOSE_TO_END] += 1
                self._ended[market.condition_id][1].moments += 1
                return
            run = self._open(market, now_ms)
        if run.waiting:
            self._meet(run, snapshot, now_ms)
        run.seen.moments += 1
        run.note(snapshot, now_ms)
        reason: StrEnum | None = hold_reason_of(snapshot, self._configuration.gate, now_ms)
        if reason is not HoldReason.TOO_CLOSE_TO_END:  # from then on nobody looks back
            self._memories.note(snapshot)
        if reason is None:
            decision = self._decide(snapshot, now_ms)
            if isinstance(decision, Trade):
                self._signal(run, snapshot, decision, now_ms)
                return
            reason = decision.reason
        run.episode_outcome = ""
        if reason is self._held:  # most books are held for the reason of the one before
            self._held_times += 1
        else:
            self._count_held()
            self._held, self._held_times = reason, 1

    def _count_held(self) -> None:
        if self._held is not None:
            self._holds[self._held] += self._held_times

    def _decide(self, snapshot: BookSnapshot, now_ms: int) -> Trade | Hold:
        view = self._memories.view(snapshot, now_ms)
        if view is None:
            return hold(HoldReason.UNKNOWN_OUTCOMES)
        return self._ask(self._failures, view, now_ms)

    def _ask(self, failures: StrategyFailures, view: MarketView, now_ms: int) -> Trade | Hold:
        if failures.disabled:
            return hold(HoldReason.STRATEGY_DISABLED)
        try:
            return ask_strategy(self._strategy, view, self._configuration)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a strategy may raise anything
            failures.note(now_ms)
            if not self._error:
                self._error = f"{view.market.slug}: {said_of(error)}"
            return hold(HoldReason.STRATEGY_ERROR)

    def _signal(self, run: MarketRun, snapshot: BookSnapshot, trade: Trade, now_ms: int) -> None:
        if run.episode_outcome != trade.outcome:
            run.episode, run.episode_outcome = self._episodes, trade.outcome
            self._episodes += 1
        assumptions = self._assumptions
        what = f"{run.market.condition_id}:{now_ms}"
        latency_ms = assumptions.latency.draw_ms(what, assumptions.seed)
        arrives_at_ms = now_ms + latency_ms + assumptions.taker_delay_ms
        book = snapshot.book_of(trade.outcome)
        run.note_signal(trade, book, self._strength_of(trade), now_ms, arrives_at_ms)
        run.seen.signals += 1
        self._offer(self._stream, run, snapshot, trade, now_ms, latency_ms)

    def _offer(
        self,
        desks: list[Desk],
        run: MarketRun,
        snapshot: BookSnapshot,
        trade: Trade,
        now_ms: int,
        latency_ms: int,
    ) -> None:
        """A trade decided on `snapshot` at `now_ms`, to desks whose orders take so long."""
        market = snapshot.market
        other = snapshot.book_of(DOWN if trade.outcome == UP else UP)
        order, tick_e4 = self._configuration.order, market.tick_size_e4
        limit_e4 = other_limit_e4(other.best_ask_e4, order, tick_e4)
        strength = self._strength_of(trade)
        offered = Offered(trade, market, run.index, now_ms, strength, limit_e4)
        latency_ms += self._assumptions.taker_delay_ms
        for desk in desks:
            under_way = desk.offer(offered, latency_ms)
            if under_way is not None:
                self._numbers += 1
                due = (under_way.arrives_at_ms, self._numbers, desk, under_way)
                heapq.heappush(self._due, due)

    def _strength_of(self, trade: Trade) -> float:
        name, numbers = self._strength_name, trade.numbers
        if not name and numbers:
            name = self._strength_name = next(iter(numbers))
        return abs(numbers[name]) if name in numbers else nan

    # -- what is due -----------------------------------------------------------------------------

    def _until(self, now_ms: int) -> None:
        """All that happens before `now_ms`."""
        due = self._due
        while due and due[0][0] < now_ms:
            at_ms, _, desk, what = heapq.heappop(due)
            if isinstance(what, MarketRun):
                self._end(what)
            elif what is None:
                self._scan(at_ms)
            elif desk is not None:
                self._arrive(desk, what, at_ms)

    def _scan(self, scan_ms: int) -> None:
        """The scanner looks at all markets; and it will, until there are none."""
        assert self._scanner is not None  # noqa: S101 - it is its time
        self._scans = bool(self._runs)
        if not self._scans:
            return
        heapq.heappush(self._due, (scan_ms + SCAN_MS, 0, None, None))
        for run in self._runs.values():
            offer = self._scanner.offer(run, scan_ms)
            if offer is not None:
                self._offer(*offer)

    def _arrive(self, desk: Desk, order: UnderWay, at_ms: int) -> None:
        run = self._runs.get(order.claim.condition_id)
        if run is None:
            return  # its market's end has dealt with it
        if at_ms >= run.market.end_ms:
            desk.too_late(order)
        elif desk.lane.bracket is Bracket.NEXT:
            run.waiting.append((desk, order))
        elif run.last is None or at_ms - run.last_ms > self._assumptions.gap_over_ms:
            desk.leave_out(order, LeftOut.GAP)
        else:
            desk.arrive(order, run.last, run.last_ms)

    def _meet(self, run: MarketRun, snapshot: BookSnapshot, now_ms: int) -> None:
        waiting, run.waiting = run.waiting, []
        for desk, order in waiting:
            if now_ms >= run.market.end_ms:
                desk.too_late(order)
            elif now_ms - order.arrives_at_ms > self._assumptions.gap_over_ms:
                desk.leave_out(order, LeftOut.GAP)
            else:
                desk.arrive(order, snapshot, now_ms)

    # -- a market's life -------------------------------------------------------------------------

    def _open(self, market: MarketInfo, now_ms: int) -> MarketRun:
        run = MarketRun(market, len(self._markets), now_ms)
        self._runs[market.condition_id] = run
        self._markets.append(run.seen)
        self._numbers += 1
        heapq.heappush(self._due, (market.end_ms, self._numbers, None, run))
        if self._scanner is not None and not self._scans:
            self._scans = True
            first_ms = -(-now_ms // SCAN_MS) * SCAN_MS
            heapq.heappush(self._due, (first_ms, 0, None, None))
        return run

    def _end(self, run: MarketRun, *, cut_at_ms: int | None = None) -> None:
        """The market is over, or, at `cut_at_ms`, the recording is."""
        condition_id = run.market.condition_id
        if self._runs.pop(condition_id, None) is None:
            return
        self._memories.forget(condition_id)
        if cut_at_ms is None:
            self._end_orders(run)
        for desk in self._desks():
            desk.market_ended(run.market)
        measured = run.measured(self._assumptions.gap_over_ms, cut_at_ms)
        if measured is not None:
            self._signals.add(measured)
        run.note_end()
        self._leave_out(LeftOut.PLACEHOLDER, run.market.slug, run.placeholders)
        self._leave_out(LeftOut.DARK, run.market.slug, run.darks)
        self._ended[condition_id] = (run.market, run.seen)

    def _end_orders(self, run: MarketRun) -> None:
        """Of those that have met no book by the market's end."""
        for desk, order in run.waiting:
            desk.leave_out(order, LeftOut.GAP)
        condition_id, kept = run.market.condition_id, []
        for each in sorted(self._due, key=lambda each: each[:2]):
            _, _, its_desk, what = each
            if isinstance(what, UnderWay) and what.claim.condition_id == condition_id:
                assert its_desk is not None  # noqa: S101 - an order is somebody's
                its_desk.too_late(what)
            else:
                kept.append(each)
        self._due[:] = kept  # the same list, which may be being worked off; sorted, so it is a heap

    def _paid(self, paid: MarketPaid) -> None:
        self._until(paid.at_ms)
        if (run := self._runs.get(paid.condition_id)) is not None:
            self._end(run)
        market, seen = self._ended.get(paid.condition_id, (None, None))
        if market is None or seen is None or seen.up_payout_e6 is not None:
            return
        payouts_e6 = paid.resolution.payouts_e6
        if any(outcome.token_id not in payouts_e6 for outcome in market.outcomes):
            text = "what it paid is told of other tokens"
            self._leave_out(LeftOut.UNREADABLE, paid.slug, 1, text)
            return
        seen.up_payout_e6 = payouts_e6[market.token_of(UP)]
        seen.down_payout_e6 = payouts_e6[market.token_of(DOWN)]
        for desk in self._desks():
            desk.market_paid(paid, paid.at_ms)

    def _desks(self) -> Iterator[Desk]:
        yield from self._stream
        if self._scanner is not None:
            yield from self._scanner.desks

    # -- the end of the feed -----------------------------------------------------------------------

    def _finish(self, now_ms: int) -> None:
        self._count_held()
        for run in list(self._runs.values()):
            self._end(run, cut_at_ms=now_ms)
        for market, seen in self._ended.values():
            if seen.up_payout_e6 is None:
                self._leave_out(LeftOut.UNRESOLVED, market.slug, 1)
        for desk in self._stream:
            left_out = Counter(
                (order.left_out, self._markets[order.market].slug)
                for order in desk.lane.orders
                if order.left_out is not None
            )
            for (why, slug), count in left_out.items():
                self._leave_out(why, slug, count, f"orders, {desk.lane.bracket}")

    def _leave_out(self, why: LeftOut, where: str, count: int, text: str = "") -> None:
        if count:
            self._exclusions.append(Exclusion(why=why, where=where, count=count, text=text))

    def observations(self, feed: Feed) -> Observations:
        """All that was seen; after `play`."""
        return Observations(
            feed=feed.name,
            strategy=self._strategy.name,
            strength_name=self._strength_name,
            configuration=self._configuration,
            assumptions=self._assumptions,
            moments=self._moments,
            holds=self._holds,
            signals=self._signals.rows(),
            markets=self._markets,
            lanes=[desk.lane for desk in self._stream],
            polling=[] if self._scanner is None else [d.lane for d in self._scanner.desks],
            exclusions=[*feed.exclusions, *self._exclusions],
            strategy_error=self._error,
        )
