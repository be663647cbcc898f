from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console, RenderableType

from executor import rendering
from executor.doctor.finding import fail, ok
from executor.reports import Decisions, decided_of, positions_of
from functions.core.account import Pause, Redemption
from functions.core.account_status import status_of
from functions.core.claim import ClaimState
from functions.core.winnings import TRIES_MAX
from functions.handlers.reconcile import ReconcileReport
from functions.handlers.settle import SettleReport
from protocol.decision import Timeline
from tests.support.account_builders import (
    LIMITS,
    make_account,
    make_claim,
    make_decision,
    make_open,
)

NOW = 1_790_000_000_000  # 2026-09-21T14:13:20Z
TODAY = "2026-09-21"


def text_of(view: RenderableType, width: int = 240) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, highlight=False)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def lines_of(view: RenderableType) -> dict[str, str]:
    """Name -> value of a two-column view."""
    lines = (line.split("  ", 1) for line in text_of(view).splitlines())
    return {line[0].strip(): line[-1].strip() for line in lines}


def test_a_status_in_words() -> None:
    account = make_account(
        make_open("a"),
        make_claim("b", claimed_at_ms=NOW - 95_000, state=ClaimState.UNKNOWN),
        pnl_e6={TODAY: -660_000},
        spent_e6={TODAY: 2_200_000},
    )
    shown = lines_of(rendering.status_view(status_of("x", account, LIMITS, NOW, TODAY)))
    assert shown["trading"] == "enabled"
    assert shown["paused"] == "no"
    assert shown["claims"] == "1 open, 1 unknown, 0 claimed"
    assert shown["slots"] == "2 of 3 used"
    assert shown["entries"] == "0 in running windows, at most 0 in one"
    assert shown["P&L today"] == "-0.66 USD, limit -20.00 (2026-09-21, UTC)"
    assert shown["spent today"] == "2.20 USD, cap 200.00"
    assert shown["oldest unresolved"] == "1 min 35 s"


def test_entries_are_shown_beside_their_limit() -> None:
    account = make_account(entries={make_claim(market_end_ms=NOW + 1).window: 2})
    limits = msgspec.structs.replace(LIMITS, max_entries_per_market=2)
    shown = lines_of(rendering.status_view(status_of("x", account, limits, NOW, TODAY)))
    assert shown["entries"] == "2 in running windows, at most 2 in one, limit 2"


def test_what_stops_trading_is_said() -> None:
    account = make_account(
        make_claim(claimed_at_ms=NOW - 200_000),
        trading="halted",
        halt_reason="looks odd",
        pause=Pause(reason="engine_restarting", since_ms=NOW, until_ms=NOW + 5_000),
        pnl_e6={TODAY: -20_000_000},
        spent_e6={TODAY: 200_000_000},
    )
    shown = lines_of(rendering.status_view(status_of("x", account, LIMITS, NOW, TODAY)))
    assert shown["trading"] == "HALTED: looks odd"
    assert shown["paused"] == "until 2026-09-21 14:13:25 UTC: engine_restarting"
    assert shown["P&L today"].endswith("no more entries today")
    assert shown["spent today"].endswith("no more entries today")
    assert "OVERDUE claims: 1" in shown["oldest unresolved"]


def test_stored_text_is_neither_markup_nor_control_characters() -> None:
    account = make_account(trading="halted", halt_reason="[bold]x[/nope]\x1b[2Jy\x07")
    text = text_of(rendering.status_view(status_of("x", account, LIMITS, NOW, TODAY)))
    assert "[bold]x[/nope] [2Jy" in text
    assert "\x1b" not in text


def test_a_position_shows_what_it_cost_and_when_it_closes() -> None:
    claim = make_open(claimed_at_ms=NOW - 61_000, market_end_ms=NOW + 125_000)
    gone = make_claim("m2", claimed_at_ms=NOW - 5_000, market_end_ms=NOW - 3_000)
    text = text_of(
        rendering.positions_view(positions_of("x", make_account(claim, gone), [], NOW), ended=False)
    )
    for shown in ("btc-updown-15m-m1", "open", "1.10", "2.2", "0.5000", "1 min 1 s", "2 min 5 s"):
        assert shown in text
    assert "closed 3 s ago" in text
    assert "1 of 1" in text
    assert "0xorder-m1" in text


def test_order_ids_stay_whole_where_it_is_narrow() -> None:
    claim = make_open(order_id="0x" + "ab" * 32)
    view = rendering.positions_view(positions_of("x", make_account(claim), [], NOW), ended=False)
    folded = "".join(line.split()[-1] for line in text_of(view, width=140).splitlines()[1:])
    assert claim.order_id in folded


def test_ended_rows_are_summed() -> None:
    won = make_open("a", state=ClaimState.SETTLED, payout_e6=2_200_000, pnl_e6=1_061_500)
    lost = make_open("b", state=ClaimState.SETTLED, pnl_e6=-1_138_500)
    told = positions_of("x", make_account(), [won, lost], NOW)
    text = text_of(rendering.positions_view(told, ended=True))
    assert "no live claims" in text
    assert "1.0615" in text
    assert "-1.1385" in text
    assert text.splitlines()[-1].split() == ["all", "-0.077"]


def test_a_decision_on_one_line() -> None:
    executed = make_decision(
        result="executed",
        reason="matched",
        decided_at_ms=NOW,
        filled_spend_e6=1_100_000,
        filled_size_e6=2_200_000,
        config_version=17,
        timeline=Timeline(decided_at_ns=10, signed_at_ns=500_010, claimed_at_ns=7_500_010),
    )
    refused = make_decision(2, repeats=4)
    told = Decisions(account="x", day=TODAY, decisions=(decided_of(executed), decided_of(refused)))
    _, first, second = text_of(rendering.decisions_view(told)).splitlines()
    assert first.startswith(f"{executed.decision_id[:8]}  2026-09-21 14:13:20")
    for shown in ("executed: matched", " 17 ", "0.5100", "1.10 USD", "sign 0.5  claim 7.0"):
        assert shown in first
    assert "refused: cooldown (and 4 times before)" in second


def test_alarms_of_a_reconciliation_stand_on_lines_of_their_own() -> None:
    report = ReconcileReport(looked=2, failures=1, overdue=["0xo"], mismatches=["token 7: ..."])
    shown = lines_of(rendering.reconciled_view(report, SettleReport(failures=2, pnl_e6=-5)))
    assert shown["OVERDUE"] == "order 0xo"
    assert shown["MISMATCH"] == "token 7: ..."
    assert shown["without an answer"] == "3"


def test_what_should_have_ended_long_ago_stands_out() -> None:
    stuck = Redemption(token_id="7", since_ms=1, asked_at_ms=1, tries=TRIES_MAX)
    account = make_account(make_open(market_end_ms=NOW - 3_600_000), redeem={"0xw": stuck})
    shown = lines_of(rendering.status_view(status_of("x", account, LIMITS, NOW, TODAY)))
    assert shown["UNSETTLED"].startswith("btc-updown-15m-m1")
    assert shown["redemptions waiting"] == "1; NOT REDEEMED: 1, asked for in vain"
    report = SettleReport(unsettled=["btc, order 0xo: why"], stuck=["0xw"], not_noted=2)
    shown = lines_of(rendering.reconciled_view(ReconcileReport(), report))
    assert shown["UNSETTLED"] == "btc, order 0xo: why"
    assert shown["NOT REDEEMED"] == "market 0xw"
    assert shown["NOT NOTED"].startswith("2 claims won")


def test_a_finding_is_one_line_and_says_what_to_do() -> None:
    view = rendering.findings_view([ok("table", "answers"), fail("NATS", "gone", "start it")])
    assert view.plain.splitlines() == ["OK    table  answers", "FAIL  NATS   gone -> start it"]


@pytest.mark.parametrize(
    ("amount_e6", "text"),
    [
        (0, "0.00"),
        (1_100_000, "1.10"),
        (-38_500, "-0.0385"),
        (10_000_000, "10.00"),
        (1, "0.000001"),
    ],
)
def test_money_has_at_least_cents_and_loses_nothing(amount_e6: int, text: str) -> None:
    assert rendering.usd(amount_e6) == text


@pytest.mark.parametrize(
    ("span_ms", "text"),
    [
        (0, "0 s"),
        (59_999, "59 s"),
        (60_000, "1 min 0 s"),
        (3_600_000, "1 h 0 min"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_spans_of_time(span_ms: int, text: str) -> None:
    assert rendering.duration(span_ms) == text
