"""The final check must be able to fail: each kind of disagreement is found and named."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest

from functions.core.account import NO_PAUSE, Account
from functions.core.claim import UNRESOLVED, Claim, ClaimFill, ClaimState, Finality
from sandbox.audit import disagreements, records_of, reopened, summary, unfinished
from sandbox.audit_input import AuditInput, Resolved
from sandbox.simulator.journal import Entry
from sandbox.simulator.matching import VenueFill

DAY = "2026-11-22"
NOON_MS = 1_795_348_800_000
MARKET_END_MS = NOON_MS + 30_000
COOLDOWN_MS = 10_000
SPEND, SIZE, FEE = 1_100_000, 2_200_000, 38_500


def claim(number: int, *, state: ClaimState = ClaimState.OPEN, **changes: Any) -> Claim:
    """An order that bought, and settled claims with the P&L of a win."""
    settled = state is ClaimState.SETTLED
    bought = state in (ClaimState.OPEN, ClaimState.SETTLED)
    fields: dict[str, Any] = {
        "intent_id": f"i{number}",
        "attempt_id": f"a{number}",
        "order_id": f"o{number}",
        "condition_id": f"m{number}",
        "slug": "s",
        "token_id": f"t{number}",
        "outcome": "Up",
        "state": state,
        "version": 3 if settled or state is ClaimState.RELEASED else 2,
        "max_price_e4": 5_000,
        "spend_e6": SPEND,
        "salt": "1",
        "order_timestamp_ms": NOON_MS,
        "claimed_at_ms": NOON_MS,
        "market_end_ms": MARKET_END_MS,
        "resolved_at_ms": NOON_MS + 100,
        "by_intent": state not in UNRESOLVED,
        "counted": state is not ClaimState.RELEASED,
        "filled_spend_e6": SPEND if bought else 0,
        "filled_size_e6": SIZE if bought else 0,
        "fee_e6": FEE if bought else 0,
        "payout_e6": SIZE if settled else 0,
        "pnl_e6": SIZE - SPEND - FEE if settled else 0,
        "settled_at_ms": MARKET_END_MS + 1_000 if settled else 0,
    }
    return Claim(**(fields | changes))


def entry(number: int, *, verdict: str = "matched", **changes: Any) -> Entry:
    filled = verdict == "matched"
    amounts = {"spend_e6": SPEND, "size_e6": SIZE, "fee_e6": FEE} if filled else {}
    fields = {
        "received_at_ns": (NOON_MS + 5) * 1_000_000,
        "order_id": f"o{number}",
        "verdict": verdict,
        "condition_id": f"m{number}",
        "token_id": f"t{number}",
        **amounts,
        **{f"live_{name}": amount for name, amount in amounts.items()},
    }
    return msgspec.convert(fields | changes, Entry)


def audit_input(
    entries: list[Entry],
    claims: list[Claim],
    ledger: list[Claim],
    /,
    *,
    resolved: dict[str, Resolved] | None = None,
    at_ms: int = MARKET_END_MS + 5_000,
    **account: Any,
) -> AuditInput:
    """Daily sums are right unless given."""
    newest = {c.order_id: c for c in [*ledger, *claims]}.values()
    fields: dict[str, Any] = {
        "trading": "enabled",
        "claims": {c.slot: c for c in claims},
        "entries": Counter(c.window for c in newest if c.state is not ClaimState.RELEASED),
        "cooldowns": {},
        "pnl_e6": {DAY: sum(c.pnl_e6 for c in newest)},
        "spent_e6": {DAY: sum(c.reserved_e6 for c in newest)},
        "pause": NO_PAUSE,
        "redeem": {},
    }
    return AuditInput(
        entries=entries,
        resolved=resolved or {},
        account=Account(**(fields | account)),
        ledger=ledger,
        at_ms=at_ms,
    )


def won(number: int) -> dict[str, Resolved]:
    return {f"m{number}": Resolved(end_ms=MARKET_END_MS, payouts_e6={f"t{number}": 1_000_000})}


def found(given: AuditInput, execution: str = "live") -> list[str]:
    return disagreements(given, execution=execution, cooldown_ms=COOLDOWN_MS)


RELEASED = claim(2, state=ClaimState.RELEASED)
SETTLED = claim(1, state=ClaimState.SETTLED)
REOPENED = claim(1, by_intent=True, came_back=True, version=4)


def test_an_open_a_refused_and_a_settled_order_agree() -> None:
    entries = [entry(1), entry(2, verdict="refused"), entry(3)]
    given = audit_input(entries, [claim(3)], [SETTLED, RELEASED], resolved=won(1))
    assert found(given) == []
    assert summary(given) == (
        "venue: 2 orders matched, 1 refused; state: 1 claims, 1.1000 USD in them; "
        "ledger: 1 settled, 1 released, P&L of these after fees +1.0615 USD; 0 reopened"
    )


def test_a_claim_whose_order_was_never_posted_may_be_released() -> None:
    assert found(audit_input([entry(1)], [claim(1)], [RELEASED])) == []


@pytest.mark.parametrize("row", [claim(2), SETTLED])
def test_nothing_else_may_come_of_an_order_that_was_never_posted(row: Claim) -> None:
    [sentence] = found(
        audit_input([], [row] if not row.ended else [], [row] if row.ended else [], resolved=won(1))
    )
    assert sentence == f"order {row.order_id} is {row.state}, the venue never got it"


def test_an_order_that_nothing_records_is_found() -> None:
    assert found(audit_input([entry(1)], [], [])) == ["order o1 was posted, nothing records it"]


def test_an_order_posted_twice_is_found() -> None:
    assert found(audit_input([entry(1), entry(1, verdict="refused")], [claim(1)], []))[0] == (
        "order o1 was posted 2 times"
    )


@pytest.mark.parametrize(
    "first", [claim(1), claim(1, state=ClaimState.RELEASED)], ids=["bought", "released"]
)
def test_a_market_entered_inside_its_cooldown_is_found_and_after_it_is_fine(first: Claim) -> None:
    posted = entry(1) if first.filled_size_e6 else entry(1, verdict="refused")
    for after_ms, sentences in (
        (COOLDOWN_MS, []),
        (COOLDOWN_MS - 1, ["order o2 was claimed 9999 ms after the last one of its market"]),
    ):
        at_ms = NOON_MS + after_ms
        second = claim(2, condition_id="m1", claimed_at_ms=at_ms, resolved_at_ms=at_ms)
        again = entry(2, condition_id="m1", received_at_ns=at_ms * 1_000_000)
        live = [each for each in (first, second) if not each.ended]
        rows = [first] if first.ended else []
        assert found(audit_input([posted, again], live, rows)) == sentences


def test_a_window_whose_entries_are_miscounted_is_found_while_it_lasts() -> None:
    window = claim(1).window
    for kept in (0, 2):
        wrong = f"window {window} has {kept} entries, 1 by its records"
        for at_ms, sentences in ((MARKET_END_MS - 1, [wrong]), (MARKET_END_MS, [])):
            entries = {window: kept} if kept else {}
            given = audit_input([entry(1)], [claim(1)], [], at_ms=at_ms, entries=entries)
            assert found(given) == sentences


def test_an_open_claim_that_closes_its_market_is_found() -> None:
    given = audit_input([entry(1)], [claim(1, by_intent=False)], [])
    assert found(given) == ["claim of order o1 is resolved and closes its market"]


def test_what_late_evidence_brought_back_is_named() -> None:
    assert reopened(audit_input([entry(1)], [REOPENED], [])) == [REOPENED]


@pytest.mark.parametrize(
    ("field", "what"),
    [("filled_size_e6", "shares"), ("filled_spend_e6", "money")],
)
def test_a_difference_of_one_micro_unit_is_found(field: str, what: str) -> None:
    off = msgspec.structs.replace(claim(1), **{field: getattr(claim(1), field) + 1})
    [sentence] = found(audit_input([entry(1)], [off], []))
    assert sentence.startswith(f"order o1: {getattr(off, field)}e-6 {what} in its record (open)")


def test_a_fee_is_exact_once_the_trades_are_known_and_close_before() -> None:
    near = msgspec.structs.replace(claim(1), fee_e6=FEE + 100)
    assert found(audit_input([entry(1)], [near], [])) == []
    fill = ClaimFill(standing=Finality.CONFIRMED, price_e4=5_000, size_e6=SIZE)
    known = msgspec.structs.replace(near, fills={"x": fill})
    [sentence] = found(audit_input([entry(1)], [known], []))
    assert "fee in its record" in sentence


def test_shares_of_a_failed_trade_must_be_gone_from_the_record() -> None:
    half = entry(1, live_size_e6=SIZE // 2)
    [sentence] = found(audit_input([half], [claim(1)], []))
    assert sentence.endswith("1100000e-6 live at the venue")


def test_a_released_order_that_is_live_is_found() -> None:
    row = claim(1, state=ClaimState.RELEASED)
    assert "order o1 is released, and live at the venue" in found(
        audit_input([entry(1)], [], [row])
    )


@pytest.mark.parametrize("verdict", ["pending", "received"])
def test_an_order_that_may_still_match_is_found(verdict: str) -> None:
    row = claim(1, state=ClaimState.RELEASED)
    [sentence] = found(audit_input([entry(1, verdict=verdict)], [], [row]))
    assert sentence == f"order o1 is still {verdict} at the venue"


@pytest.mark.parametrize("state", [ClaimState.CLAIMED, ClaimState.UNKNOWN])
def test_an_unresolved_claim_is_found(state: ClaimState) -> None:
    given = audit_input([entry(1, verdict="refused")], [claim(1, state=state)], [])
    assert f"claim of order o1 is unresolved: {state}" in found(given)
    assert unfinished(given) == [claim(1, state=state)]


def test_an_ended_claim_that_was_not_filed_is_found() -> None:
    given = audit_input([entry(1)], [SETTLED], [], resolved=won(1))
    assert found(given) == ["claim of order o1 has ended (settled) and is still in the account"]


def test_a_row_that_has_not_ended_is_found() -> None:
    assert found(audit_input([entry(1)], [], [claim(1)])) == ["row of order o1 has not ended: open"]


def test_an_open_claim_of_a_market_that_was_resolved_long_ago_is_found() -> None:
    given = audit_input([entry(1)], [claim(1)], [], resolved=won(1), at_ms=MARKET_END_MS + 30_001)
    assert found(given) == ["claim of order o1 is live, its market has been resolved for long"]
    in_time = audit_input([entry(1)], [claim(1)], [], resolved=won(1), at_ms=MARKET_END_MS + 29_000)
    assert found(in_time) == []
    assert unfinished(in_time) == [claim(1)]


def test_a_claim_waits_for_its_last_trade() -> None:
    fill = ClaimFill(standing=Finality.PROVISIONAL, price_e4=5_000, size_e6=SIZE)
    moving = msgspec.structs.replace(claim(1), fills={"x": fill})
    assert unfinished(audit_input([entry(1)], [moving, claim(2)], [])) == [moving]


def test_an_order_that_is_live_and_in_the_ledger_is_found() -> None:
    row = claim(1, state=ClaimState.RELEASED, version=3)
    assert "order o1 is live and in the ledger" in found(audit_input([entry(1)], [claim(1)], [row]))


def test_a_reopened_claim_counts_instead_of_its_older_row() -> None:
    row = claim(1, state=ClaimState.RELEASED, version=3)
    given = audit_input([entry(1)], [REOPENED], [row])
    assert records_of(given) == {"o1": REOPENED}
    assert found(given) == []


def test_two_rows_and_two_claims_of_one_order_are_found() -> None:
    assert "order o1 has 2 rows in the ledger" in found(
        audit_input([entry(1)], [], [SETTLED, SETTLED], resolved=won(1))
    )
    twice = audit_input([entry(1)], [claim(1, by_intent=False), REOPENED], [])
    assert "order o1 has 2 claims" in found(twice)


def test_a_claim_in_anothers_slot_is_found() -> None:
    given = audit_input([entry(1)], [claim(1)], [], claims={"m9": claim(1)})
    assert found(given) == ["claim of order o1 is in slot m9"]


def test_a_wrong_pnl_is_found_in_the_row_and_in_the_day() -> None:
    wrong = msgspec.structs.replace(SETTLED, pnl_e6=SETTLED.pnl_e6 + 1)
    given = audit_input([entry(1)], [], [wrong], resolved=won(1), pnl_e6={DAY: SETTLED.pnl_e6})
    assert found(given) == [
        "order o1: P&L of 1061501e-6 USD in its row, 1061500e-6 by the venue's payout",
        f"P&L of {DAY}: 1061500e-6 USD in the account, 1061501e-6 in its records",
    ]


def test_a_split_pays_half() -> None:
    half = {"m1": Resolved(end_ms=MARKET_END_MS, payouts_e6={"t1": 500_000})}
    row = msgspec.structs.replace(SETTLED, payout_e6=SIZE // 2, pnl_e6=SIZE // 2 - SPEND - FEE)
    assert found(audit_input([entry(1)], [], [row], resolved=half)) == []
    assert len(found(audit_input([entry(1)], [], [SETTLED], resolved=half))) == 1


def test_a_settlement_before_the_resolution_and_a_pnl_without_one_are_found() -> None:
    assert found(audit_input([entry(1)], [], [SETTLED])) == [
        "order o1 is settled, its market is not resolved"
    ]
    row = msgspec.structs.replace(RELEASED, pnl_e6=1)
    assert found(audit_input([entry(2, verdict="refused")], [], [row])) == [
        "order o2 is released, with a P&L"
    ]


def test_a_wrong_daily_spending_is_found() -> None:
    given = audit_input([entry(1)], [claim(1)], [], spent_e6={DAY: SPEND + 1, "2026-11-21": 5})
    assert found(given) == [
        "spending of 2026-11-21: 5e-6 USD in the account, 0e-6 in its records",
        f"spending of {DAY}: 1100001e-6 USD in the account, 1100000e-6 in its records",
    ]


def test_what_was_bought_must_be_what_was_claimed() -> None:
    fill = VenueFill(price_e4=5_100, size_e6=SIZE, spend_e6=SPEND, fee_e6=FEE)
    bought = entry(1, token_id="another", received_at_ns=0)
    bought.fills = [fill]
    assert found(audit_input([bought], [claim(1)], [])) == [
        "order o1 bought another token than was claimed",
        "order o1 paid more than its claim allows",
        "order o1 was posted before it was claimed",
    ]


def test_on_paper_nothing_may_reach_the_venue() -> None:
    assert found(audit_input([], [claim(3)], [SETTLED], resolved=won(1)), "paper") == []
    assert found(audit_input([entry(1)], [claim(1)], []), "paper") == [
        "paper order o1 reached the venue"
    ]
