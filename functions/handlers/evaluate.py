"""Evaluate a book for one account: gate, strategy, order, refusal cache. No await, no I/O.

    look ─▶ gate ─▶ strategy ─▶ order ─▶ market verified? ─▶ refusal cache ─▶ a Trade for
    `functions.handlers.execute`

Invariants: 2 (the cache may only refuse; every limit is in the claim's one condition), 6 (the fence
and the gate stand before every strategy, so none can trade a superseded, dark, unproven or stale
book, or a market that is not open). Nothing that a strategy does reaches further than its own
account: what it raises is a hold, and one that goes on failing is not asked any more.
"""

from __future__ import annotations

import time
from collections.abc import Hashable
from enum import StrEnum
from typing import Final, TypeAlias

import structlog

from functions.account_metrics import AccountMetrics
from functions.core.ask import answer_of, question_of
from functions.core.clock_doubt import ClockDoubt
from functions.core.configuration import Configuration
from functions.core.gate import GateConfig, hold_reason_of
from functions.core.hold import HoldReason, hold
from functions.core.refusal_cache import RefusalCache
from functions.core.strategy_failures import FAILURES_MAX, StrategyFailures
from functions.core.trade import OrderTerms, Trade, terms_of, trade_on
from functions.handlers.report_decisions import DecisionReporter
from functions.handlers.verify_markets import MarketVerifier
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from runtime.instant import Instant
from runtime.line_throttle import LineThrottle
from runtime.time_limit import CallWatch, TookTooLongError
from strategies.interface import Hold, Signal, Strategy
from strategies.view import MarketView

STRATEGY_CALLS: Final = CallWatch()
"""Of all accounts of a process: a strategy that does not come to its end would stop them all."""
CALL_LOOK_EVERY_S: Final = 0.5
SERIES_MAX: Final = 100
ERROR_LENGTH_MAX: Final = 200
_Wish: TypeAlias = tuple[Signal, OrderTerms, MarketView]
"""A signal that can be ordered, and as what. Most are refused and only counted: so a `Trade`, with
all that is recorded of one, is made for those that are ordered or reported."""
_log = structlog.get_logger()


class BookLook:
    """One book as all accounts of a worker are asked about it, one after the other, at one moment.

    What the gate says is kept for the next account that has the same, and what a strategy answers
    for each account that has the same parameters: both depend on nothing else.
    """

    __slots__ = ("answers", "delivered", "gate", "held", "now_ms", "snapshot", "traded_as", "view")

    def __init__(
        self,
        snapshot: BookSnapshot,
        view: MarketView | None,
        delivered: Instant,
        traded_as: MarketInfo | None = None,
    ) -> None:
        """`view` shows the same book; None when its outcomes are not Up and Down. `traded_as` is
        the snapshot's market where it is another one than was published."""
        self.snapshot = snapshot
        self.view = view
        self.delivered = delivered
        self.traded_as = traded_as
        # One moment, the view's, which is recorded: by a later one gate or strategy could answer
        # otherwise.
        self.now_ms = delivered.now_ns() // 1_000_000 if view is None else view.now_ms
        self.gate: GateConfig | None = None
        """The gate that was asked last."""
        self.held: HoldReason | None = None
        """Why it held this book, None where it did not."""
        self.answers: dict[Hashable, Signal | Hold] = {}
        """By `question_of`. What was raised is not kept: it is each account's own failure."""


class Evaluator:
    """The use case of one account with its collaborators; `verifier` and `clock_doubt` are the
    worker's, `refusals` is shared with the account's executor."""

    def __init__(
        self,
        *,
        strategy: type[Strategy],
        clock_doubt: ClockDoubt,
        verifier: MarketVerifier,
        refusals: RefusalCache,
        reporter: DecisionReporter,
        metrics: AccountMetrics,
    ) -> None:
        self._strategy = strategy
        self._clock_doubt = clock_doubt
        self._verifier = verifier
        self._refusals = refusals
        self._reporter = reporter
        self._metrics = metrics
        self._failures = StrategyFailures()
        self._failed, self._few_bids = LineThrottle(), LineThrottle()
        self._too_short: set[str] = set()
        """Series, told of once."""
        self._bids_max: int | None = None
        """How many bids the last book had at most, where these were too few for the strategy."""
        self._configuration: Configuration | None = None
        """The one that `_question` is of."""
        self._question: Hashable = None

    def note_market(self, market: MarketInfo, gate: GateConfig) -> None:
        """Of a market that is new here: say where the gate lets none of its series through."""
        window_ms, wanted_ms = market.end_ms - market.start_ms, gate.time_to_close_min_ms
        if window_ms > wanted_ms or market.series in self._too_short:
            return
        if len(self._too_short) < SERIES_MAX:
            self._too_short.add(market.series)
            _log.warning(
                "series_never_traded",
                account=self._reporter.account_name,
                series=market.series,
                window_s=window_ms / 1000,
                min_time_to_close_s=wanted_ms / 1000,
            )

    def problem(self) -> str | None:
        """Why this account's strategy is not asked, None while it is."""
        account = self._reporter.account_name
        if self._failures.disabled:
            return f"the strategy of {account} is disabled: it failed too often"
        if self._bids_max is not None:
            return (
                f"the feeder publishes {self._bids_max} bids, too few for the strategy of {account}"
            )
        return None

    def consider(self, look: BookLook, configuration: Configuration) -> Trade | None:
        """Decide on one book, without awaiting anything. A Trade is to be executed at once, and
        under the same configuration."""
        began_ns = time.monotonic_ns()
        answer = self._answer(look, configuration)
        metrics = self._metrics
        metrics.decide.observe((time.monotonic_ns() - began_ns) / 1e9)
        if isinstance(answer, Hold):
            metrics.holds[answer.reason].inc()
            if answer.reason is HoldReason.TOO_FEW_BIDS:
                self._note_few_bids(look.snapshot.bids_max)
            return None
        refusal = self._doubt(look) or self._foreseen(look)
        if refusal is not None:
            self._refused(look, answer, refusal, configuration)
            return None
        return trade_on(*answer, configuration.version, look.traded_as)

    def _answer(self, look: BookLook, configuration: Configuration) -> _Wish | Hold:
        if look.gate != configuration.gate:
            look.gate, look.held = configuration.gate, self._held(look, configuration.gate)
        if look.held is not None:
            return hold(look.held)
        if look.view is None:
            return hold(HoldReason.UNKNOWN_OUTCOMES)
        if self._failures.disabled:
            return hold(HoldReason.STRATEGY_DISABLED)
        if configuration is not self._configuration:
            self._question = question_of(self._strategy, configuration.parameters)
            self._configuration = configuration
        try:
            answer = look.answers.get(self._question)
            if answer is None:
                STRATEGY_CALLS.call = object()
                answer = answer_of(self._strategy, look.view, configuration.parameters)
                STRATEGY_CALLS.call = None
                look.answers[self._question] = answer
        # Whatever it is: nothing else is under way here, so it comes from the strategy.
        except BaseException as error:  # noqa: BLE001 - see above
            STRATEGY_CALLS.call = None
            self._note_failure(look.snapshot, error)
            return hold(HoldReason.STRATEGY_ERROR)
        self._bids_max = None
        if isinstance(answer, Hold):
            return answer
        terms = terms_of(answer, look.view, configuration.order)
        return terms if isinstance(terms, Hold) else (answer, terms, look.view)

    def _held(self, look: BookLook, gate: GateConfig) -> HoldReason | None:
        """Why nobody with this gate may trade on the book."""
        reason = hold_reason_of(look.snapshot, gate, look.now_ms)
        series, doubt = look.snapshot.market.series, self._clock_doubt
        if reason is HoldReason.CLOCK_BEHIND:
            doubt.note(series, _monotonic_ms())
        elif reason is None and doubt and doubt.holds(series, _monotonic_ms()):
            reason = HoldReason.CLOCK_BEHIND
        return reason

    def _note_few_bids(self, bids_max: int) -> None:
        self._bids_max = bids_max
        if (unlogged := self._few_bids.admit()) is not None:
            _log.error(
                "too_few_bids",
                account=self._reporter.account_name,
                published=bids_max,
                hint="PUBLISHED_BIDS: the feeders publish fewer bids than the strategy looks at",
                unlogged_before=unlogged,
            )

    def _note_failure(self, snapshot: BookSnapshot, error: BaseException) -> None:
        # One that does not end costs all accounts a second each time.
        endless = isinstance(error, TookTooLongError)
        disabled = self._failures.note(_monotonic_ms(), FAILURES_MAX if endless else 1)
        account = self._reporter.account_name
        if (unlogged := self._failed.admit()) is not None:
            _log.error(
                "strategy_failed",
                account=account,
                market=snapshot.market.slug,
                error=_text_of(error)[:ERROR_LENGTH_MAX],
                unlogged_before=unlogged,
            )
        if disabled:
            self._metrics.strategies_disabled.inc()
            _log.critical("strategy_disabled", account=account, hint="restart when it is mended")

    def _doubt(self, look: BookLook) -> tuple[StrEnum, str] | None:
        """Why the CLOB does not confirm this market, None where it does."""
        doubt = self._verifier.doubt(look.snapshot.market)
        if doubt is None:
            return None
        self._metrics.holds[doubt.reason].inc()
        return doubt.reason, doubt.text

    def _foreseen(self, look: BookLook) -> tuple[StrEnum, str] | None:
        """Why the claim would be refused, as far as this worker knows."""
        refusal = self._refusals.refusal(look.snapshot.market.condition_id, look.now_ms)
        if refusal is None:
            return None
        self._metrics.refused_from_cache[refusal].inc()
        return refusal, ""

    def _refused(
        self,
        look: BookLook,
        wish: _Wish,
        refusal: tuple[StrEnum, str],
        configuration: Configuration,
    ) -> None:
        """Report the signal, where it is not one of hundreds that are only counted."""
        snapshot, (reason, text) = look.snapshot, refusal
        repeats = self._reporter.repeats(snapshot, wish[0].outcome, reason, look.now_ms)
        if repeats is not None:
            trade = trade_on(*wish, configuration.version, look.traded_as)
            self._reporter.foreseen(snapshot, trade, reason.value, look.delivered, repeats, text)


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _text_of(error: BaseException) -> str:
    """Also of an exception whose own text raises, whatever that is."""
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 - a strategy's exception may be anything
        return "an error without a text"
