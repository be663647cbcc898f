"""Histories of evidence in any order, any number of times: what must be true of every one.

A history is drawn from a truth (the trades that the venue made of our order, and how each ended)
and consists of what the venue might say of it at any time: early and late statuses, order records
that lag, looks that show a part. It may be told late, twice, or in any order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import assume, example, given
from hypothesis import strategies as st

from functions.core.claim import TRANSITIONS, Claim, ClaimFill, ClaimState, Finality
from functions.core.evidence import OrderLookup, Resolution
from functions.core.lifecycle import (
    COUNT_AFTER_MS,
    FINAL_AFTER_MS,
    LOOKUP_SPACING_MS,
    LOOKUPS_MIN,
    apply_answer,
    apply_lookup,
    apply_resolution,
    apply_trades,
    filled,
    final,
    needs_lookup,
    overdue,
)
from protocol.decision import Timeline
from protocol.fill import Fill, TradeStatus
from protocol.units import cost_e6
from tests.support.trading_builders import MADE_AT_MS, MARKET_END_MS, TRADER, a_claim, a_fill
from venue.wire.order_answer import Accepted, Answer, Rejected, RejectReason, Unknown
from venue.wire.orders import OrderRecord

SPEND_E6 = 1_100_000
LIMIT_E4 = 5_500
ROUNDED_E6 = 10_000
RELEASE_AFTER_MS = COUNT_AFTER_MS + (LOOKUPS_MIN - 1) * LOOKUP_SPACING_MS
WAY = (TradeStatus.MATCHED, TradeStatus.MINED, TradeStatus.RETRYING)
Evidence = Callable[[Claim, int], Claim | None]


class Truth(msgspec.Struct, frozen=True):
    """What the venue made of the order: each trade as it ended."""

    trades: tuple[Fill, ...]

    @property
    def size_e6(self) -> int:
        return sum(trade.size_e6 for trade in self.trades)

    @property
    def spend_e6(self) -> int:
        return sum(cost_e6(trade.price_e4, trade.size_e6) for trade in self.trades)

    @property
    def held(self) -> tuple[int, int]:
        """(USD spent, shares held) when all is said."""
        stays = [t for t in self.trades if t.status is TradeStatus.CONFIRMED]
        return (
            sum(cost_e6(trade.price_e4, trade.size_e6) for trade in stays),
            sum(trade.size_e6 for trade in stays),
        )

    def shows(self, status: str = "matched") -> OrderLookup:
        order = OrderRecord(order_id="0xorder1", status=status, size_matched_e6=self.size_e6)
        return OrderLookup(seen_by=TRADER, order=order, trades=self.trades)


@st.composite
def truths(draw: st.DrawFn, *, may_be_nothing: bool = True) -> Truth:
    trades = []
    left_e6 = SPEND_E6
    for number in range(draw(st.integers(0 if may_be_nothing else 1, 3))):
        price_e4 = draw(st.integers(4_000, LIMIT_E4))
        most_e6 = left_e6 * 10_000 // price_e4
        if most_e6 < 50_000:
            break
        size_e6 = draw(st.integers(50_000, most_e6))
        left_e6 -= cost_e6(price_e4, size_e6)
        status = draw(st.sampled_from([TradeStatus.CONFIRMED, TradeStatus.FAILED]))
        trades.append(a_fill(f"t{number}", status, size_e6=size_e6, price_e4=price_e4))
    return Truth(trades=tuple(trades))


@st.composite
def said(draw: st.DrawFn, truth: Truth, *, lag: bool = True) -> list[Evidence]:
    """What the venue says of it, each thing at least once, and shuffled."""
    matched = Accepted(
        status="matched",
        spend_e6=truth.spend_e6,
        size_e6=truth.size_e6 // ROUNDED_E6 * ROUNDED_E6,  # as the answer rounds it
    )
    nothing_yet = Accepted(status="delayed", spend_e6=0, size_e6=0)
    answers: list[Answer] = [Unknown(text="timeout"), nothing_yet]
    if truth.trades:
        answers.append(matched)
    answer = draw(st.sampled_from(answers))
    everything: list[Evidence] = [_of_answer(answer)]
    for trade in truth.trades:
        on_its_way = draw(st.lists(st.sampled_from(WAY), max_size=2))
        told_as = [msgspec.structs.replace(trade, status=status) for status in on_its_way]
        everything += [_of_trades([each]) for each in (*told_as, trade)]
    everything.append(_of_look(truth.shows()))
    if lag:
        everything += [_of_look(each) for each in draw(st.lists(_partial_look(truth), max_size=3))]
    again = draw(st.lists(st.sampled_from(everything), max_size=5))
    return draw(st.permutations(everything + again))


@st.composite
def _partial_look(draw: st.DrawFn, truth: Truth) -> OrderLookup:
    shown = [
        msgspec.structs.replace(t, status=draw(st.sampled_from((*WAY, t.status))))
        for t in truth.trades
        if draw(st.booleans())
    ]
    matched_e6 = draw(st.sampled_from([0, *(t.size_e6 for t in truth.trades), truth.size_e6]))
    order = OrderRecord(
        order_id="0xorder1",
        status=draw(st.sampled_from(["live", "delayed", "matched", "unmatched", "canceled"])),
        size_matched_e6=matched_e6,
    )
    return OrderLookup(
        seen_by=TRADER, order=draw(st.sampled_from([None, order])), trades=tuple(shown)
    )


def _of_answer(answer: Answer) -> Evidence:
    return lambda claim, now_ms: apply_answer(claim, answer, now_ms, Timeline())


def _of_trades(trades: list[Fill]) -> Evidence:
    return lambda claim, now_ms: apply_trades(claim, trades, now_ms)


def _of_look(look: OrderLookup) -> Evidence:
    return lambda claim, now_ms: apply_lookup(claim, look, now_ms)


def _resolved(pays_e6: int) -> Evidence:
    resolution = Resolution(payouts_e6={"up": pays_e6}, source="x")
    return lambda claim, now_ms: apply_resolution(claim, resolution, now_ms)


def told(claim: Claim, evidence: list[Evidence], every_ms: int) -> list[Claim]:
    """Every state of the claim that the evidence leads through, its beginning included."""
    states = [claim]
    for number, each in enumerate(evidence):
        changed = each(states[-1], MADE_AT_MS + number * every_ms)
        if changed is not None:
            states.append(changed)
    return states


def converged(claim: Claim, truth: Truth, from_ms: int) -> list[Claim]:
    """What reconciliation makes of it: the trades swept, the claim looked at, until it is quiet."""
    states = [claim]
    for run in range(20):
        now_ms = from_ms + run * 10_000
        changed = apply_trades(states[-1], truth.trades, now_ms)
        states += [changed] if changed is not None else []
        if needs_lookup(states[-1], now_ms):
            shown = (
                truth.shows()
                if truth.trades
                else OrderLookup(seen_by=TRADER, order=None, trades=())
            )
            changed = apply_lookup(states[-1], shown, now_ms)
            states += [changed] if changed is not None else []
    return states


@given(st.data(), truths(), st.sampled_from([10, 3_000, 30_000, 300_000]))
def test_whatever_the_order_all_ends_in_the_truth(
    data: st.DataObject, truth: Truth, every_ms: int
) -> None:
    states = told(a_claim(), data.draw(said(truth)), every_ms)
    end_ms = MADE_AT_MS + 60 * every_ms + RELEASE_AFTER_MS
    claim = converged(states[-1], truth, end_ms)[-1]
    assert (claim.filled_spend_e6, claim.filled_size_e6) == truth.held
    assert claim.state is (ClaimState.OPEN if truth.held[1] else ClaimState.RELEASED)
    assert final(claim) == bool(truth.held[1])
    assert not needs_lookup(claim, end_ms + 10_000_000)
    assert not overdue(claim, end_ms + 10_000_000)


@given(st.data(), truths(may_be_nothing=False))
def test_two_orders_of_the_same_evidence_end_in_the_same_claim(
    data: st.DataObject, truth: Truth
) -> None:
    evidence = data.draw(said(truth))
    first = told(a_claim(), evidence, every_ms=10)
    second = told(a_claim(), data.draw(st.permutations(evidence)), every_ms=10)
    # Evidence that changes no amount of what has ended is not kept: see the test above for those.
    assume(not any(state.ended for state in first + second))
    ends = [
        (c.fills, c.filled_spend_e6, c.filled_size_e6, c.fee_e6) for c in (first[-1], second[-1])
    ]
    assert ends[0] == ends[1]


@given(st.data(), truths(), st.sampled_from([10, 30_000]))
def test_amounts_stay_between_nothing_and_what_the_claim_may_spend(
    data: st.DataObject, truth: Truth, every_ms: int
) -> None:
    for claim in told(a_claim(), data.draw(said(truth)), every_ms):
        assert 0 <= claim.filled_spend_e6 <= SPEND_E6
        assert 0 <= claim.filled_size_e6 <= truth.size_e6
        assert 0 <= claim.fee_e6 <= claim.filled_size_e6 * 7 // 400 + len(truth.trades) + 1
        assert 0 <= claim.reserved_e6 <= SPEND_E6


@given(st.data(), truths(), st.sampled_from([10, 3_000, 30_000]))
def test_every_change_is_one_version_on_and_a_way_of_the_table(
    data: st.DataObject, truth: Truth, every_ms: int
) -> None:
    states = told(a_claim(), data.draw(said(truth)), every_ms)
    states += converged(states[-1], truth, MADE_AT_MS + 10_000_000)[1:]
    ways = {(before, after) for (before, _), after in TRANSITIONS.items()}
    for before, after in itertools.pairwise(states):
        assert after.version == before.version + 1
        assert (before.state, after.state) in ways
        assert (before.intent_id, before.attempt_id) == (after.intent_id, after.attempt_id)


@given(st.data(), st.lists(st.integers(0, 40_000), max_size=30))
def test_nothing_found_is_released_only_after_enough_looks_over_enough_time(
    data: st.DataObject, pauses_ms: list[int]
) -> None:
    claim = a_claim(state=data.draw(st.sampled_from([ClaimState.CLAIMED, ClaimState.UNKNOWN])))
    now_ms, counted = MADE_AT_MS, [MADE_AT_MS]
    for pause_ms in pauses_ms:
        now_ms += pause_ms
        alive = data.draw(st.integers(0, 9)) == 0
        status = "live" if alive else "unmatched"
        order = OrderRecord(order_id="0xorder1", status=status, size_matched_e6=0)
        look = OrderLookup(
            seen_by=TRADER,
            order=data.draw(st.sampled_from([order, order if alive else None])),
            trades=(),
        )
        changed = apply_lookup(claim, look, now_ms)
        if alive:
            counted = []
        elif now_ms - MADE_AT_MS >= COUNT_AFTER_MS and (
            changed is not None and changed.looks > claim.looks
        ):
            counted.append(now_ms)
        claim = changed or claim
        if claim.state is ClaimState.RELEASED:
            break
    else:
        return
    looks = [at for at in counted if at >= MADE_AT_MS + COUNT_AFTER_MS]
    assert len(looks) >= LOOKUPS_MIN
    assert all(b - a >= LOOKUP_SPACING_MS for a, b in itertools.pairwise(looks))
    assert now_ms - MADE_AT_MS >= RELEASE_AFTER_MS


@given(
    st.data(),
    truths(may_be_nothing=False),
    st.sampled_from([0, 500_000, 1_000_000]),
    st.sampled_from([30_000, 400_000]),
)
def test_pnl_is_booked_once_however_often_it_is_settled_and_reopened(
    data: st.DataObject, truth: Truth, pays_e6: int, every_ms: int
) -> None:
    evidence = data.draw(said(truth))
    with_settlement: list[Evidence] = []
    for each in evidence:
        with_settlement += [each, _resolved(pays_e6)]
    states = told(a_claim(), with_settlement, every_ms)
    end_ms = MADE_AT_MS + len(with_settlement) * every_ms + MARKET_END_MS + FINAL_AFTER_MS
    states += converged(states[-1], truth, end_ms)[1:]
    paid = _resolved(pays_e6)(states[-1], end_ms + 10_000_000)
    states += [paid] if paid is not None else []
    claim = states[-1]
    booked = sum(b.pnl_e6 - a.pnl_e6 for a, b in itertools.pairwise(states))
    spend_e6, size_e6 = truth.held
    assert (claim.filled_spend_e6, claim.filled_size_e6) == truth.held
    assert claim.state is (ClaimState.SETTLED if size_e6 else ClaimState.RELEASED)
    payout_e6 = size_e6 * pays_e6 // 1_000_000
    assert booked == claim.pnl_e6 == (payout_e6 - spend_e6 - claim.fee_e6 if size_e6 else 0)
    # The same for the money that the day's cap counts.
    reserved = states[0].reserved_e6 + sum(
        b.reserved_e6 - a.reserved_e6 for a, b in itertools.pairwise(states)
    )
    assert reserved == spend_e6


@given(st.data(), truths(may_be_nothing=False))
def test_what_was_bought_is_never_given_up(data: st.DataObject, truth: Truth) -> None:
    """From the first word about a trade that stays, the claim is open until its market pays."""
    assume(all(t.status is TradeStatus.CONFIRMED for t in truth.trades))
    states = told(a_claim(), data.draw(said(truth)), every_ms=30_000)
    known = [state for state in states if state.filled_size_e6 > 0]
    assert known
    first = states.index(known[0])
    assert all(state.state is ClaimState.OPEN for state in states[first:])


# -- any state, any evidence, however absurd -----------------------------------------------------

absurd_fills = st.lists(
    st.builds(
        a_fill,
        st.sampled_from(["t1", "t2", "t3"]),
        st.sampled_from(TradeStatus),
        size_e6=st.integers(0, 5_000_000),
        price_e4=st.integers(0, 10_000),
        order_id=st.sampled_from(["0xorder1", "0xORDER1", "0xother"]),
    ),
    max_size=3,
).map(tuple)
amounts = st.sampled_from([0, 1, 10_000, 10_001, 550_000, 2_000_000])
answers: st.SearchStrategy[Answer] = st.one_of(
    st.builds(Accepted, status=st.just("live"), spend_e6=amounts, size_e6=amounts),
    st.builds(Accepted, status=st.just("x"), spend_e6=amounts, size_e6=amounts, fills=absurd_fills),
    st.builds(Rejected, reason=st.sampled_from(RejectReason), text=st.just("no")),
    st.builds(Unknown, text=st.just("?")),
)
looks = st.builds(
    OrderLookup,
    order=st.none()
    | st.builds(
        OrderRecord,
        order_id=st.just("0xorder1"),
        status=st.sampled_from(["live", "delayed", "matched", "unmatched", "canceled", ""]),
        size_matched_e6=amounts,
    ),
    trades=absurd_fills,
)
resolutions = st.builds(
    Resolution, payouts_e6=st.builds(lambda pays: {"up": pays}, amounts), source=st.just("x")
)
evidences: st.SearchStrategy[Evidence] = st.one_of(
    answers.map(_of_answer),
    absurd_fills.map(lambda fills: _of_trades(list(fills))),
    looks.map(_of_look),
    resolutions.map(lambda told: _resolved(told.payouts_e6["up"])),
)


@st.composite
def absurd_claims(draw: st.DrawFn) -> Claim:
    fills = draw(
        st.dictionaries(
            st.sampled_from(["t1", "t2", "t3"]),
            st.builds(
                ClaimFill,
                standing=st.sampled_from(Finality),
                price_e4=st.integers(0, 10_000),
                size_e6=st.integers(0, 5_000_000),
            ),
            max_size=3,
        )
    )
    claim = a_claim(
        state=draw(st.sampled_from(ClaimState)),
        version=draw(st.integers(1, 50)),
        fills=fills,
        reported_spend_e6=draw(amounts),
        reported_size_e6=draw(amounts),
        recorded_size_e6=draw(amounts),
        looks=draw(st.integers(0, 5)),
        looked_at_ms=draw(st.sampled_from([0, MADE_AT_MS, MADE_AT_MS + 60_000])),
        pnl_e6=draw(st.sampled_from([0, -5])),
        fee_rate=draw(st.sampled_from(["0", "0.07"])),
    )
    if draw(st.booleans()):
        return claim
    spend_e6, size_e6, fee_e6 = filled(claim)
    return msgspec.structs.replace(
        claim, filled_spend_e6=spend_e6, filled_size_e6=size_e6, fee_e6=fee_e6
    )


@given(absurd_claims(), evidences, st.sampled_from([0, 20_000, 70_000, 5_000_000]))
@example(
    a_claim(state=ClaimState.UNKNOWN), _of_answer(Accepted(status="", spend_e6=1, size_e6=1)), 0
)
def test_no_evidence_in_any_state_is_a_crash(
    claim: Claim, evidence: Evidence, after_ms: int
) -> None:
    changed: Any = evidence(claim, MADE_AT_MS + after_ms)
    if changed is not None:
        assert changed.version == claim.version + 1
        assert changed.filled_size_e6 >= 0
        assert changed.filled_spend_e6 >= 0
        assert changed.fee_e6 >= 0


@given(absurd_claims(), absurd_fills)
def test_the_same_trades_twice_say_nothing_the_second_time(
    claim: Claim, fills: tuple[Fill, ...]
) -> None:
    first = apply_trades(claim, fills, MADE_AT_MS)
    if first is not None and not first.ended:
        assert apply_trades(first, fills, MADE_AT_MS + 1) is None
