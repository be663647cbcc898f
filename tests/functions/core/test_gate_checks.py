"""What a person is told of the gate, and what it does."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from functions.core.gate import GateConfig, hold_reason_of
from functions.core.gate_checks import gate_checks
from protocol.book import Proof
from tests.support.message_builders import market_info, snapshot

ABOUT_MS = st.integers(-2_500, 2_500)


@given(
    now_ms=ABOUT_MS,
    venue_ms=ABOUT_MS,
    published_ms=ABOUT_MS,
    start_ms=ABOUT_MS,
    end_ms=ABOUT_MS,
    proof=st.sampled_from(Proof),
    proof_min=st.sampled_from([Proof.TOP, Proof.CHECKSUM]),
    accepting=st.booleans(),
)
def test_the_gate_holds_exactly_where_one_of_its_numbers_does(
    *,
    now_ms: int,
    venue_ms: int,
    published_ms: int,
    start_ms: int,
    end_ms: int,
    proof: Proof,
    proof_min: Proof,
    accepting: bool,
) -> None:
    at_ms = snapshot().received_at_ns // 1_000_000
    book = msgspec.structs.replace(
        snapshot(),
        venue_timestamp_ms=at_ms + venue_ms,
        published_at_ns=(at_ms + published_ms) * 10**6,
        received_at_ns=at_ms * 10**6,
        proof=proof,
        market=msgspec.structs.replace(
            market_info(),
            start_ms=at_ms + start_ms,
            end_ms=at_ms + end_ms + 3_000,
            accepting=accepting,
        ),
    )
    config = GateConfig(proof_min=proof_min, time_to_close_min_ms=1_000)
    passed = all(each.passed for each in gate_checks(book, config, at_ms + now_ms))
    assert passed == (hold_reason_of(book, config, at_ms + now_ms) is None)


def test_long_spans_are_told_in_seconds_and_short_ones_in_milliseconds() -> None:
    book = snapshot()
    checks = gate_checks(book, GateConfig(), book.received_at_ns // 1_000_000 + 1_234)
    told = {each.name: (each.value, each.wanted, each.passed) for each in checks}
    assert told["age"] == ("1,234 ms", "at most 1,000 ms", False)
    assert told["to its end"] == ("798.8 s", "at least 300.0 s", True)
