"""The final check must be able to fail: each kind of disagreement is found and named."""

from __future__ import annotations

import msgspec

from functions.core.intent import Account, Claim, ClaimState
from sandbox.audit import Evidence, disagreements
from sandbox.venue.journal import Entry
from sandbox.venue.matching import Fill


def claim(number: int, *, state: ClaimState = ClaimState.OPEN, text: str = "matched") -> Claim:
    return Claim(
        intent_id=f"i{number}",
        attempt_id=f"a{number}",
        order_id=f"o{number}",
        condition_id=f"m{number}",
        slug="s",
        token_id="t",
        outcome="Up",
        state=state,
        max_price_e4=5_000,
        spend_e6=1_100_000,
        salt="1",
        order_timestamp_ms=1,
        claimed_at_ms=1,
        market_end_ms=1,
        filled_spend_e6=1_100_000,
        filled_size_e6=2_200_000,
        text=text,
    )


def entry(number: int, *, verdict: str = "matched") -> Entry:
    filled = verdict == "matched"
    return msgspec.convert(
        {
            "received_at_ns": 2_000_000,
            "token_id": "t",
            "order_id": f"o{number}",
            "verdict": verdict,
            "condition_id": f"m{number}",
            "spend_e6": 1_100_000 if filled else 0,
            "size_e6": 2_200_000 if filled else 0,
        },
        Entry,
    )


def evidence(entries: list[Entry], claims: list[Claim], ledger: list[Claim]) -> Evidence:
    account = Account(
        trading="enabled",
        halt_reason="",
        claims={c.condition_id: c for c in claims},
        cooldowns={},
        pnl_today_e6=0,
        day="",
    )
    return Evidence(entries=entries, account=account, ledger=ledger)


RELEASED = claim(2, state=ClaimState.RELEASED, text="no_match: ...")


def found(given: Evidence, execution: str = "live") -> list[str]:
    return disagreements(given, execution=execution)


def test_a_matched_and_a_refused_order_agree() -> None:
    given = evidence([entry(1), entry(2, verdict="refused")], [claim(1)], [claim(1), RELEASED])
    assert found(given) == []


def test_an_order_that_was_never_sent_needs_no_entry_at_the_venue() -> None:
    unsent = claim(2, state=ClaimState.RELEASED, text="not_sent: ConnectError")
    assert found(evidence([entry(1)], [claim(1)], [claim(1), unsent])) == []


def test_a_fill_that_the_state_does_not_know_is_found() -> None:
    assert found(evidence([entry(1)], [], [])) == [
        "order o1 is in the venue, not in the state",
        "the venue got order o1, the ledger has no row",
    ]


def test_a_claim_without_an_order_is_found() -> None:
    sentences = found(evidence([], [claim(1)], [claim(1)]))
    assert "order o1 is in the state, not in the venue" in sentences
    assert "the ledger has order o1, the venue never got it" in sentences


def test_a_missing_ledger_row_is_found() -> None:
    sentences = found(evidence([entry(1)], [claim(1)], []))
    assert "order o1 is in the state, not in the ledger" in sentences


def test_a_difference_of_one_micro_share_is_found() -> None:
    off = msgspec.structs.replace(claim(1), filled_size_e6=2_200_001)
    [sentence] = found(evidence([entry(1)], [off], [off]))
    assert sentence.startswith("order o1: the venue says (1100000, 2200000)")


def test_an_order_posted_twice_and_a_market_bought_twice_are_found() -> None:
    twice = found(evidence([entry(1), entry(1)], [claim(1)], [claim(1)]))
    assert "order o1 was posted 2 times" in twice
    assert "market m1 was bought 2 times" in twice


def test_what_was_bought_must_be_what_was_claimed() -> None:
    bought = entry(1)
    bought.token_id = "another"
    bought.fee_e6 = 50_000
    bought.received_at_ns = 0
    bought.fills = [Fill(price_e4=5_100, size_e6=2_200_000, spend_e6=1_100_000, fee_e6=50_000)]
    assert found(evidence([bought], [claim(1)], [claim(1)])) == [
        "order o1 bought another token than was claimed",
        "order o1 paid more than its claim allows",
        "order o1 was posted before it was claimed",
        "order o1: the venue took a fee of 50000, not 0",
    ]


def test_two_rows_of_one_order_are_found() -> None:
    assert found(evidence([entry(1)], [claim(1)], [claim(1), claim(1)])) == [
        "order o1 has 2 rows in the ledger"
    ]


def test_an_unresolved_claim_is_found() -> None:
    hanging = claim(1, state=ClaimState.CLAIMED)
    assert "claim of order o1 is unresolved" in found(evidence([entry(1)], [hanging], []))


def test_on_paper_nothing_may_reach_the_venue() -> None:
    assert found(evidence([], [claim(1)], [claim(1)]), "paper") == []
    assert found(evidence([entry(1)], [claim(1)], [claim(1)]), "paper") == [
        "paper order o1 reached the venue"
    ]
