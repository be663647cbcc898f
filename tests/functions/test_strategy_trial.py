"""What a strategy is asked before anything starts, and what is said of one that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from functions import worker
from functions.core.strategy_rules import StrategyNotUsableError
from functions.settings import WorkerSettings
from functions.strategy_trial import TRIAL_MAX_S, try_out
from strategies.builtin import BUILTIN
from strategies.interface import Hold, Signal, Strategy
from strategies.parameters import StrategyParameters
from strategies.view import MarketView
from tests.support.strategies import AlwaysBuy


def answering(answer: Callable[[MarketView], Any]) -> type[Strategy]:
    class Answering(AlwaysBuy):
        name = "answering"

        @staticmethod
        def decide(view: MarketView, parameters: StrategyParameters, now_ms: int) -> Any:
            return answer(view)

    return Answering


def refusal(answer: Callable[[MarketView], Any], max_s: float = TRIAL_MAX_S) -> str:
    with pytest.raises(StrategyNotUsableError) as caught:
        try_out(answering(answer), max_s=max_s)
    said = str(caught.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize("strategy", [*BUILTIN.values(), AlwaysBuy])
def test_what_answers_every_book_passes(strategy: type[Strategy]) -> None:
    try_out(strategy)


def leave(_: MarketView) -> None:
    raise SystemExit


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            lambda view: view.up.bids[0],
            "asked about an ordinary book: MalformedSignalError: neither",
        ),
        (
            lambda view: Hold("quiet"),  # type: ignore[arg-type]
            "neither a Signal nor a Hold with a reason of its own",
        ),
        (
            lambda view: Signal(outcome="Up", numbers={}, value_e4=view.up.best_bid_e4 / 1),
            "asked about a book without bids: raises TypeError",
        ),
        (lambda view: Signal(outcome="Yes", numbers={}), "outcome: 'Yes' is neither Up nor Down"),
        (lambda view: Signal(outcome="Up", numbers={}, limit_price_e4=0), "limit_price_e4 is not"),
        (lambda view: Signal(outcome="Up", numbers=7), "numbers: at most 16"),  # type: ignore[arg-type]
        (leave, "raises SystemExit"),
    ],
)
def test_what_raises_or_answers_nonsense_is_one_line(
    answer: Callable[[MarketView], Any], said: str
) -> None:
    assert said in refusal(answer)


def test_a_worker_is_not_started_with_one_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(_: MarketView) -> None:
        raise ValueError("two\nlines")

    for name in WorkerSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setitem(BUILTIN, "book_imbalance_crypto", answering(answer))
    monkeypatch.setattr(worker, "configure_logging", lambda **_: None)
    monkeypatch.setattr(worker, "serve", lambda *_: pytest.fail("it was started"))
    with pytest.raises(SystemExit) as ended:
        worker.main([])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "cannot start: STRATEGIES: account book_imbalance_crypto-paper: answering: "
        "asked about an ordinary book: raises ValueError: two lines\n"
    )


def test_one_that_does_not_end_is_ended() -> None:
    def for_ever(_: MarketView) -> None:
        while True:
            pass

    said = refusal(for_ever, max_s=0.2)
    assert "does not answer within 0.2 s when it is asked about an ordinary book" in said
