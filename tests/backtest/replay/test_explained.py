"""One decision explained from a recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backtest.replay.answers import Strategies
from backtest.replay.explained import (
    HORIZONS_S,
    AmbiguousIdError,
    Explained,
    NoSuchDecisionError,
    explain,
)
from backtest.replay.replay import replay
from executor.answers import say
from executor.commands.explain import explained_view
from feeder.recording.format import Configured, Decided, Paid, Published, Record, payload
from protocol.decision import Decision, decode_decision
from protocol.fee import taker_fee_e6
from protocol.market import Outcome
from tests.support import made_history as made
from tests.support.message_builders import DOWN_TOKEN, UP_TOKEN, market_info
from tests.support.recording_files import started

END_NS = market_info().end_ms * 10**6
PAID = Paid(
    at_ns=END_NS + 10**9,
    mono_ns=1,
    condition_id=market_info().condition_id,
    payouts_e6={UP_TOKEN: 1_000_000, DOWN_TOKEN: 0},
    source="gamma",
)


def first_decision(records: Sequence[Record]) -> Decision:
    return decode_decision(payload(next(each for each in records if isinstance(each, Decided))))


def of_first(path: Path, records: Sequence[Record], **changes: Any) -> Explained:
    """The first decision, logged with other values."""
    first = first_decision(records)
    changed = [
        made.decided(msgspec.structs.replace(first, **changes))
        if isinstance(each, Decided) and decode_decision(payload(each)) == first
        else each
        for each in records
    ]
    return explain(made.write(path, changed), first.decision_id[:8], Strategies())


def test_a_decision_is_shown_with_all_that_it_was_made_of(tmp_path: Path) -> None:
    records = [*made.history(), PAID]
    decision = first_decision(records)
    found = of_first(tmp_path, records)
    assert found.decision == decision
    assert (found.again, found.unlike) == ("equal", [])
    book = found.book
    assert book is not None
    decided_on = made.books(40)[int(book.version.removeprefix("7:")) - 1]
    assert book.received_at_ms * 10**6 == decided_on.received_at_ns
    assert [ladder.asks for ladder in book.ladders] == [each.asks for each in decided_on.books]
    assert [ladder.outcome for ladder in book.ladders] == ["Up", "Down"]
    assert all(each.passed for each in found.gate)
    assert '"imbalance_min":0.3' in found.parameters
    assert '"size_usd":"1.1"' in found.settings
    assert list(found.stages_ms) == ["publish", "deliver", "decide"]
    assert found.evidence is None
    assert found.price_e4 == decision.signal_price_e4


def test_markouts_are_of_the_last_books_until_then_and_of_what_was_paid(tmp_path: Path) -> None:
    records = [*made.history(), PAID]
    decision = first_decision(records)
    found = of_first(tmp_path, records)
    fee_ticks = taker_fee_e6(market_info().fee, decision.signal_price_e4, 10**9) / 10**3 / 100 / 100
    assert found.fee_ticks == pytest.approx(fee_ticks)
    books = {1: 0, 5: 4, 10: 9, 30: 27}  # a book each 1.1 s
    decided_on = next(
        number
        for number, each in enumerate(made.books(40))
        if each.received_at_ns == decision.timeline.received_at_ns
    )
    for each in found.markouts:
        if each.after_s not in books:
            continue
        later = made.books(40)[decided_on + books[each.after_s]]
        bid_e4 = later.book_of(decision.outcome).best_bid_e4
        assert bid_e4 is not None
        assert each.bid_e4 == bid_e4
        assert each.mid_e4 == bid_e4 + 50
        assert each.by_mid_ticks == (bid_e4 + 50 - decision.signal_price_e4) / 100
        assert each.after_fee_ticks == pytest.approx(each.by_mid_ticks - fee_ticks)
    resolved = found.markouts[-1]
    won = 10_000 if decision.outcome == "Up" else 0
    assert (resolved.after_s, resolved.mid_e4) == (None, won)


def test_what_is_not_known_later_is_said(tmp_path: Path) -> None:
    found = of_first(tmp_path, made.history())
    assert found.markouts[4].why_not == "the recording ends before"
    assert found.markouts[-1].why_not == "the recording does not say what the market paid"
    late = made.books(1)[0].market.end_ms - 2_000
    found = of_first(tmp_path, [*made.history(), PAID], decided_at_ms=late, signal_price_e4=1)
    assert [each.why_not for each in found.markouts] == [
        "",
        *["the market had ended"] * 4,
        "",
    ]
    assert found.again == "different"
    assert [each.name for each in found.unlike] == ["signal_price_e4"]


def test_an_order_is_shown_as_it_was_logged_and_its_price_is_what_was_paid(tmp_path: Path) -> None:
    filled = {"filled_spend_e6": 1_000_000, "filled_size_e6": 2_000_000, "fee_e6": 35_000}
    found = of_first(
        tmp_path,
        made.history(),
        intent_id="i",
        order_id="o",
        state="open",
        text="matched",
        **filled,
    )
    assert found.price_e4 == 5_000
    evidence = found.evidence
    assert evidence is not None
    assert (evidence.source, evidence.state, evidence.fee_e6) == ("decision", "open", 35_000)


def test_without_its_books_or_configuration_the_rest_is_shown(tmp_path: Path) -> None:
    records = [each for each in made.history() if not isinstance(each, Published)]
    found = of_first(tmp_path, records)
    assert found.book is None
    assert "of its books are not there" in found.why_no_book
    assert found.parameters
    assert (found.gate, found.markouts) == ([], [])
    unconfigured = [each for each in made.history() if not isinstance(each, Configured)]
    found = of_first(tmp_path, unconfigured)
    assert "configuration is not there" in found.why_no_book
    assert not found.parameters


@pytest.mark.parametrize(
    "changes",
    [
        {"token_id": "3"},
        {"outcome": "Neither"},
        {
            "market": msgspec.structs.replace(
                market_info(),
                outcomes=(Outcome(name="Up", token_id="8"), Outcome(name="Down", token_id="9")),
            )
        },
        {"filled_size_e6": 1, "filled_spend_e6": 10**18},
        {"asked_at_ms": 1},
        {"numbers": {}, "imbalance": 0.0},
    ],
    ids=str,
)
def test_whatever_was_logged_is_shown(tmp_path: Path, changes: dict[str, Any]) -> None:
    found = of_first(tmp_path, [*made.history(), PAID], **changes)
    assert found.book is not None
    assert found.again == ("equal" if "filled_size_e6" in changes else "different")
    assert len(found.markouts) == len(HORIZONS_S) + 1
    say(explained_view(found))
    assert replay(tmp_path, Strategies()).different == (found.again == "different")


def test_an_id_has_to_name_one_decision(tmp_path: Path) -> None:
    first = first_decision(made.history())
    twin = msgspec.structs.replace(first, decision_id=first.decision_id[:8] + "x")
    path = made.write(tmp_path, [*made.history(), made.decided(twin)])
    with pytest.raises(AmbiguousIdError, match=f"{first.decision_id}, {twin.decision_id}"):
        explain(path, first.decision_id[:8], Strategies())
    with pytest.raises(NoSuchDecisionError, match="begins with 123456"):
        explain(path, "123456", Strategies())
    assert explain(path, twin.decision_id, Strategies()).decision == twin


def test_a_whole_id_names_its_decision_where_another_one_begins_so(tmp_path: Path) -> None:
    records = made.history()
    first = first_decision(records)
    longer = msgspec.structs.replace(first, decision_id=f"{first.decision_id}0", spend_e6=7)
    for order in (
        [*records, made.decided(longer)],
        [started(), made.decided(longer), *records],
    ):
        found = explain(made.write(tmp_path, order), first.decision_id, Strategies())
        assert found.decision == first
        assert found.again == "equal"


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"a":1e400}', "[" * 900, '{"a":[1]}'])
def test_a_configuration_that_cannot_be_read_is_shown_as_it_is(tmp_path: Path, text: str) -> None:
    row = msgspec.structs.replace(made.row(), values=text, parameters=text)
    records = [
        made.configured(row) if isinstance(each, Configured) else each for each in made.history()
    ]
    found = of_first(tmp_path, records)
    assert "cannot be followed" in found.again
    say(explained_view(found))
