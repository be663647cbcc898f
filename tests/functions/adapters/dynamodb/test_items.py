"""Items and structs: exact round trips, and errors that name the attribute."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.adapters.dynamodb.items import (
    account_item,
    account_of,
    claim_attribute,
    claim_of,
    decision_item,
    decision_of,
    missing_account_attributes,
    pause_attribute,
    redemption_attribute,
    redemption_of,
    stored_attempt,
    trade_key,
    utc_day,
)
from functions.core.account import Account, Pause, Redemption
from functions.core.claim import NOBODY, Claim, ClaimFill, ClaimState, Finality, Trader
from functions.ports import StoreError
from protocol.bounds import COUNT_MAX, EPOCH_MS_MAX
from protocol.decision import Decision, Timeline
from protocol.fee import is_rate
from protocol.side import Side
from tests.support.store_builders import NOW_MS, TODAY, make_account, make_claim
from tests.support.trading_builders import market

TEXT = st.text(max_size=20)
INTEGER = st.integers(-(10**18), 10**18)
TIMES = st.integers(0, EPOCH_MS_MAX)
TIMELINES = st.builds(
    Timeline, **dict.fromkeys(Timeline.__struct_fields__, st.integers(0, 2**63 - 1))
)
FILLS = st.builds(ClaimFill, standing=st.sampled_from(Finality), price_e4=INTEGER, size_e6=INTEGER)
KINDS = {
    "state": st.sampled_from(ClaimState),
    "side": st.sampled_from(Side),
    "fills": st.dictionaries(TEXT, FILLS, max_size=3),
    "trader": st.builds(Trader, signer=TEXT, wallet=TEXT),
    "timeline": st.none() | TIMELINES,
    "fee_rate": st.decimals(0, 1).map(str).filter(lambda text: is_rate(Decimal(text))),
    "fee_exponent": st.integers(0, 10),
    **dict.fromkeys(("version", "looks", "config_version"), st.integers(0, COUNT_MAX)),
    **dict.fromkeys(("by_intent", "came_back", "counted"), st.booleans()),
}
CLAIMS = st.builds(
    Claim,
    **{
        field.name: KINDS.get(
            field.name,
            TIMES if field.name.endswith("_ms") else {str: TEXT, int: INTEGER}.get(field.type),
        )
        for field in msgspec.structs.fields(Claim)
    },
)
PER_KEY = st.dictionaries(TEXT, INTEGER, max_size=3)
REDEMPTIONS = st.builds(
    Redemption,
    token_id=TEXT,
    wallet=TEXT,
    size_e6=INTEGER,
    since_ms=TIMES,
    asked_at_ms=TIMES,
    unseen=st.booleans(),
)
ACCOUNTS = st.builds(
    Account,
    trading=TEXT,
    halt_reason=TEXT,
    claims=st.dictionaries(TEXT, CLAIMS, max_size=3),
    cooldowns=st.dictionaries(TEXT, TIMES, max_size=3),
    pnl_e6=PER_KEY,
    spent_e6=PER_KEY,
    pause=st.builds(Pause, reason=TEXT, since_ms=TIMES, until_ms=TIMES),
    redeem=st.dictionaries(TEXT, REDEMPTIONS, max_size=3),
    entries=PER_KEY,
    config_version=st.none() | st.integers(0, COUNT_MAX),
    collective=TEXT,
)


@given(TEXT, ACCOUNTS)
def test_an_account_comes_back_as_it_went(account_name: str, account: Account) -> None:
    item = account_item(account_name, account)
    assert item["pk"] == {"S": f"STRATEGY#{account_name}"}
    assert item["sk"] == {"S": "ACCOUNT"}
    assert account_of(item) == account


@given(CLAIMS)
def test_a_claim_comes_back_as_it_went(claim: Claim) -> None:
    fields = claim_attribute(claim)
    assert claim_of(fields["M"]) == claim


def test_a_claim_from_before_traders_were_stored_is_nobody_s() -> None:
    fields = claim_attribute(make_claim(trader=Trader(signer="0x1", wallet="0x2")))["M"]
    assert claim_of(fields).trader == Trader(signer="0x1", wallet="0x2")
    del fields["trader"]
    assert claim_of(fields).trader == NOBODY
    assert "trader" not in claim_attribute(claim_of(fields))["M"]


@given(st.integers(0, 10**15 - 1), st.integers(0, 10**15 - 1))
def test_ledger_rows_sort_by_time(first_ms: int, second_ms: int) -> None:
    keys = [
        trade_key("s", make_claim(claimed_at_ms=at_ms))["sk"]["S"]
        for at_ms in (first_ms, second_ms)
    ]
    assert (keys[0] < keys[1]) == (first_ms < second_ms)


def test_a_new_account_may_trade() -> None:
    assert account_of(missing_account_attributes(set())) == make_account()


def test_what_is_assigned_anyway_is_not_missing() -> None:
    missing = missing_account_attributes({"trading = :trading", "halt_reason = :reason"})
    assert {"trading", "halt_reason"}.isdisjoint(missing)
    assert "claims" in missing


def test_nothing_of_the_state_table_bears_what_lets_a_row_expire() -> None:
    """Rows of an earlier version's log do, and TTL may still be on there for them."""
    assert "expires_at" not in Claim.__struct_fields__ + Account.__struct_fields__


def a_decision() -> Decision:
    return Decision(
        decision_id="d1",
        strategy="s",
        worker="w1",
        condition_id="0xm1",
        slug="slug",
        outcome="Up",
        token_id="7",
        result="refused",
        reason="cooldown",
        imbalance=-0.5625,
        signal_price_e4=5_200,
        max_price_e4=5_460,
        spend_e6=1_100_000,
        decided_at_ms=NOW_MS,
        timeline=Timeline(decided_at_ns=NOW_MS * 10**6),
    )


def test_a_decision_row_expires_a_week_later() -> None:
    decision = a_decision()
    item = decision_item(decision)
    assert item["pk"] == {"S": f"DECISION#s#{TODAY}"}
    assert item["sk"] == {"S": f"00{NOW_MS}#d1"}
    assert item["expires_at"] == {"N": str(NOW_MS // 1000 + 7 * 86_400)}
    assert item["imbalance"] == {"N": "-0.5625"}
    assert item["timeline"]["M"]["decided_at_ns"] == {"N": str(NOW_MS * 10**6)}
    left_out = {"memory_versions", "market"}
    assert set(Decision.__struct_fields__) - left_out <= set(item)
    assert decision_of(item) == decision


def test_what_only_a_recording_keeps_of_a_decision_makes_its_row_no_longer() -> None:
    told = msgspec.structs.replace(
        a_decision(), memory_versions="s3:9|3:9-264", market=market("0xm1")
    )
    assert decision_item(told) == decision_item(a_decision())


@pytest.mark.parametrize(
    ("now_ms", "day"),
    [(0, "1970-01-01"), (86_399_999, "1970-01-01"), (86_400_000, "1970-01-02"), (NOW_MS, TODAY)],
)
def test_a_day_is_a_utc_day(now_ms: int, day: str) -> None:
    assert utc_day(now_ms) == day


def test_unknown_attributes_are_ignored() -> None:
    item = account_item("s", make_account(claims={"0xm1": make_claim()}))
    item["added_later"] = {"L": [{"BOOL": True}]}
    item["claims"]["M"]["0xm1"]["M"]["added_later"] = {"NULL": True}
    assert account_of(item) == make_account(claims={"0xm1": make_claim()})


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("trading",), None, "trading"),
        (("trading",), {"N": "1"}, "trading"),
        (("claims",), None, "claims"),
        (("claims",), {"S": "{}"}, "claims"),
        (("cooldowns",), {"L": []}, "cooldowns"),
        (("cooldowns", "M", "0xm2"), {"S": "soon"}, "cooldowns"),
        (("pnl_e6",), {"N": "1.5"}, "pnl_e6"),
        (("pnl_e6", "M", TODAY), {"BOOL": True}, "pnl_e6"),
        (("spent_e6",), {"NULL": True}, "spent_e6"),
        (("pause",), None, "pause"),
        (("pause", "M", "until_ms"), {"S": "soon"}, "pause"),
        (("redeem",), None, "redeem"),
        (("claims", "M", "0xm1", "M", "state"), {"S": "lost"}, "state"),
        (("claims", "M", "0xm1", "M", "state"), None, "state"),
        (("claims", "M", "0xm1", "M", "spend_e6"), {"S": "1100000"}, "spend_e6"),
        (("claims", "M", "0xm1", "M", "order_id"), {"B": b"x"}, "order_id"),
    ],
)
def test_a_malformed_account_names_the_attribute(path, value, named) -> None:
    item = account_item("s", make_account(claims={"0xm1": make_claim()}))
    parent = item
    for name in path[:-1]:
        parent = parent[name]
    if value is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    with pytest.raises(StoreError, match=rf"^account item: .*{named}"):
        account_of(item)


def test_a_malformed_ledger_row_names_the_attribute() -> None:
    item = claim_attribute(make_claim())["M"]
    del item["salt"]
    with pytest.raises(StoreError, match=r"ledger row: .*salt"):
        claim_of(item)


def nested(depth: int) -> dict[str, object]:
    value: dict[str, object] = {"S": "x"}
    for _ in range(depth):
        value = {"M": {"x": value}}
    return value


@pytest.mark.parametrize(
    "attribute",
    [
        *(None, 7, "x", [], {}, {"S": "x", "N": "1"}, {"M": None}, {"M": []}, {"M": {"x": None}}),
        *({"N": None}, {"N": []}, {"N": float("inf")}, nested(5_000)),
    ],
)
@pytest.mark.parametrize("read", [account_of, claim_of, decision_of])
def test_what_is_no_item_at_all_is_a_failure_of_the_store(read, attribute) -> None:
    with pytest.raises(StoreError):
        read({"salt": attribute, "claims": attribute, "signal_price_e4": attribute})
    with pytest.raises(StoreError, match="note of winnings"):
        redemption_of(attribute)


def test_whose_claim_it_is_can_be_read_beside_a_malformed_one() -> None:
    item = account_item("s", make_account(claims={"0xm1": make_claim(), "0xm2": make_claim()}))
    item["claims"]["M"]["0xm2"] = {"S": "broken"}
    item["pnl_e6"] = {"BOOL": True}
    assert stored_attempt(item, "0xm1") == "a1"
    assert stored_attempt(item, "0xm3") is None
    with pytest.raises(StoreError, match="0xm2"):
        stored_attempt(item, "0xm2")
    item["claims"] = {"S": "broken"}
    with pytest.raises(StoreError, match="0xm1"):
        stored_attempt(item, "0xm1")


def test_what_has_its_default_is_not_stored_but_what_conditions_look_at_is() -> None:
    fields = claim_attribute(make_claim())["M"]
    assert fields["spend_e6"] == {"N": "1100000"}
    assert fields["state"] == {"S": "claimed"}
    assert fields["version"] == {"N": "1"}
    assert "fills" not in fields
    assert "timeline" not in fields


def test_a_claim_that_buys_is_stored_as_it_was_before_it_had_a_side() -> None:
    fields = claim_attribute(make_claim())["M"]
    assert "side" not in fields
    assert claim_of(fields).side is Side.BUY
    selling = msgspec.structs.replace(make_claim(), side=Side.SELL)
    assert claim_attribute(selling)["M"]["side"] == {"S": "SELL"}


def test_a_decision_of_before_it_had_a_side_is_read_as_a_buy() -> None:
    decision = Decision(
        decision_id="d", strategy="s", worker="w", condition_id="0xc1", slug="m", outcome="Up",
        token_id="up", result="refused", reason="halted", imbalance=0.5, signal_price_e4=1,
        max_price_e4=1, spend_e6=1, decided_at_ms=NOW_MS, timeline=Timeline(),
    )  # fmt: skip
    item = decision_item(decision)
    del item["side"]
    assert decision_of(item) == decision


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (lambda: claim_attribute(make_claim(resolved_at_ms=-1)), "claim not stored"),
        (lambda: claim_attribute(make_claim(looked_at_ms=EPOCH_MS_MAX + 1)), "looked_at_ms"),
        (lambda: claim_attribute(make_claim(fee_rate="much")), "fee_rate"),
        (lambda: claim_attribute(make_claim(text=7)), "text"),
        (lambda: pause_attribute(Pause(reason="", since_ms=-1, until_ms=0)), "pause not stored"),
        (
            lambda: redemption_attribute(Redemption(token_id="1", since_ms=EPOCH_MS_MAX + 1)),
            "redemption not stored",
        ),
    ],
)
def test_what_could_not_be_read_again_is_not_written(
    write: Callable[[], object], name: str
) -> None:
    with pytest.raises(StoreError, match=name):
        write()
