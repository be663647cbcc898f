"""What is told of a run: whose each decision, position and profit is, where there are several."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

from functions.core.claim import ClaimState
from sandbox.run.run_state import RunState
from sandbox.run.terminal import decision_line, positions_table, status_line
from tests.support.account_builders import make_decision, make_open


def lines_of(view: RenderableType) -> list[str]:
    console = Console(file=io.StringIO(), width=160, force_terminal=False, highlight=False)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def settled_at(payout_e6: int, market: str) -> RunState:
    """The first account's position has ended; the second's lives, on a market without book."""
    state = RunState(["mine", "shadow-paper"])
    won = make_open(market, state=ClaimState.SETTLED, payout_e6=payout_e6, intent_id="i1")
    state.on_state({"mine": [], "shadow-paper": [make_open("m2")]}, {"mine": [won]})
    return state


def test_each_account_s_profit_stands_for_itself_beside_that_of_all() -> None:
    state = settled_at(2_200_000, "m1")
    header, mine, shadow, all_of_mine, all_of_shadow, total = lines_of(positions_table(state))
    assert header.startswith("account")
    assert (mine.split()[0], shadow.split()[0]) == ("mine", "shadow-paper")
    profit = "+1.0615"  # 2.2 USD for 1.1, and the fee of 0.0385
    assert all_of_mine.split() == ["mine", "all", profit]
    assert all_of_shadow.split() == ["shadow-paper", "all", "+0.0000"]
    assert total.split() == ["all", profit]
    assert f"settled, mine {profit}, shadow-paper +0.0000)" in status_line(state, 9)


def test_a_single_account_is_not_named() -> None:
    state = RunState(["mine"])
    state.on_state({"mine": [make_open()]}, {"mine": []})
    header, position, total = lines_of(positions_table(state))
    assert header.startswith("market")
    assert "mine" not in position
    assert total.split() == ["all", "+0.0000"]
    assert "mine" not in status_line(state, 9)


def test_a_decision_is_said_to_be_its_account_s_where_there_are_several() -> None:
    decision = make_decision(strategy="shadow-paper")
    assert decision_line(decision, RunState(["mine", "shadow-paper"])).startswith("shadow-paper: ")
    assert decision_line(decision, RunState(["shadow-paper"])).startswith(decision.slug)


def test_a_claim_that_came_back_is_its_account_s_once() -> None:
    """Both in the ledger and in the account: what lives counts."""
    state = RunState(["mine", "other"])
    back = make_open(intent_id="i1")
    state.on_state({"mine": [back], "other": []}, {"mine": [back], "other": []})
    assert [each.account for each in state.positions()] == ["mine"]
