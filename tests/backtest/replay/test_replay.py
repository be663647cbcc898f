"""A recording's decisions made again: equal, or what differs, or why one cannot be made again."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.replay.answers import Strategies
from backtest.replay.history import WAIT_S, DecisionHistory, NotAgain, NotRemade, Remade
from backtest.replay.replay import ReplayReport, compared, replay
from backtest.replay.told import lines_of, verdict_line
from feeder.recording.errors import RecordingError
from feeder.recording.format import Configured, Decided, Lost, Missed, Published, Record, payload
from functions.core.configuration import configuration_row, settings_in
from protocol.decision import decode_decision
from strategies.book_imbalance import BookImbalance
from strategies.interface import Hold, Signal, Strategy
from strategies.parameters import StrategyParameters
from strategies.view import MarketView
from tests.support import made_history as made
from tests.support.message_builders import market_info
from tests.support.recording_files import started


def replayed(path: Path, records: Iterable[Record], **own: Any) -> ReplayReport:
    return replay(made.write(path, records), Strategies(own))


def with_decisions(**changes: Any) -> list[Record]:
    """The history, each of whose decisions is logged with other values."""
    records: list[Record] = []
    for each in made.history():
        if isinstance(each, Decided):
            decision = decode_decision(payload(each))
            records.append(made.decided(msgspec.structs.replace(decision, **changes)))
        else:
            records.append(each)
    return records


def the_only(report: ReplayReport) -> NotRemade:
    (first,) = report.not_again_first
    return first


# -- equal, or not ---------------------------------------------------------------------------------


def test_the_same_code_makes_the_same_decisions(tmp_path: Path) -> None:
    report = replayed(tmp_path, made.history())
    assert report.ok
    assert report.equal == report.decisions >= 10
    assert verdict_line(report) == f"{report.equal} decisions: all equal"
    (account,) = report.accounts
    assert account.signals + sum(account.holds.values()) == account.books == report.books


class Changed(BookImbalance):
    """Knows another number."""

    @staticmethod
    def decide(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
        answer = BookImbalance.decide(view, parameters, now_ms)
        if isinstance(answer, Signal):
            return msgspec.structs.replace(answer, numbers={**answer.numbers, "more": 1.0})
        return answer


class Raising(BookImbalance):
    """Has a fault."""

    @staticmethod
    def decide(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
        raise ZeroDivisionError("a fault")


def test_a_strategy_that_knows_another_number_is_named_with_both_answers(tmp_path: Path) -> None:
    report = replayed(tmp_path, made.history(), book_imbalance_crypto=Changed)
    assert not report.ok
    assert report.different == report.decisions > len(report.differences) == 10
    assert report.unlike == {"numbers": report.decisions}
    first = report.differences[0]
    assert isinstance(first.again, msgspec.Struct)
    assert first.logged.numbers | {"more": 1.0} == first.again.numbers
    text = "\n".join(lines_of(report))
    assert f"{first.decision_id}  book_imbalance_crypto (book_imbalance_crypto)" in text
    assert f"  book {first.book}, received 2023-11-14 22:1" in text
    assert '"more":1.0' in text
    assert "  logged: buys " in text
    assert "  now:    buys " in text
    assert f"... and {report.different - 10} more" in text


def test_one_that_raises_is_a_difference_and_a_hold_of_all_books(tmp_path: Path) -> None:
    report = replayed(tmp_path, made.history(), book_imbalance_crypto=Raising)
    assert report.differences[0].again == "raises ZeroDivisionError: a fault"
    assert report.unlike == {"answer": report.decisions}
    assert report.accounts[0].holds == {"strategy_error": report.books}


def other_configuration(**changes: Any) -> list[Record]:
    """The history, but the version has other parameters or settings than the workers had."""
    row = made.row(**{name: each for name, each in changes.items() if name != "settings"})
    given = settings_in(row).model_copy(update=changes.get("settings", {}))
    row = configuration_row(
        given,
        BookImbalance.Parameters.model_validate_json(row.parameters),
        version=1,
        strategy=row.strategy,
        who=row.who,
        why=row.why,
        made_at_ms=row.made_at_ms,
    )
    return [
        made.configured(row) if isinstance(each, Configured) else each for each in made.history()
    ]


@pytest.mark.parametrize(
    ("changes", "unlike", "again"),
    [
        ({"imbalance_min": 0.99}, "answer", "holds: no_imbalance"),
        ({"settings": {"min_time_to_close_s": 86_400.0}}, "answer", "holds: too_close_to_end"),
        ({"settings": {"book_proof": "checksum", "max_book_age_ms": 1}}, "", ""),
        ({"settings": {"size_usd": Decimal(2)}}, "spend_e6", None),
    ],
)
def test_another_parameter_or_gate_or_size_is_found(
    tmp_path: Path, changes: dict[str, Any], unlike: str, again: str | None
) -> None:
    report = replayed(tmp_path, other_configuration(**changes))
    if not unlike:
        assert report.ok
        return
    assert report.unlike == {unlike: report.decisions}
    if again is not None:
        assert report.differences[0].again == again


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "Neither"},
        {"token_id": "3"},
        {"numbers": {"imbalance": 0.123}},
        {"edge_after_costs_ticks": 1.0000000000000002},
        {"signal_price_e4": 1},
        {"max_price_e4": 1},
        {"spend_e6": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_each_thing_that_was_logged_is_compared(tmp_path: Path, changes: dict[str, Any]) -> None:
    report = replayed(tmp_path, with_decisions(**changes))
    assert report.unlike == {next(iter(changes)): report.decisions}


def test_a_decision_is_made_again_of_the_market_as_it_was_traded(tmp_path: Path) -> None:
    stricter = msgspec.structs.replace(market_info(), tick_size_e4=10)
    assert replayed(tmp_path, made.history(traded_as=stricter)).ok
    report = replayed(tmp_path, with_decisions(market=stricter))
    assert report.unlike["edge_after_costs_ticks"] == report.different == report.decisions


def test_the_digest_of_all_answers_tells_two_versions_apart(tmp_path: Path) -> None:
    same, again, other = (
        replayed(tmp_path, made.history(), book_imbalance_crypto=each)
        for each in (BookImbalance, BookImbalance, Changed)
    )
    assert same.answers_digest == again.answers_digest != other.answers_digest


def test_a_version_counts_from_where_it_stands(tmp_path: Path) -> None:
    version_2 = made.row(2, imbalance_min=0.99)
    at_ns = made.books(21)[-1].received_at_ns
    records = made.in_order([*made.history(), made.configured(version_2, at_ns=at_ns)])
    (before,), (after,) = (replayed(tmp_path, each).accounts for each in (made.history(), records))
    assert after.versions == 2
    assert 0 < after.signals < before.signals
    assert replayed(tmp_path, records).ok


def test_each_decision_is_made_again_under_the_version_that_it_names(tmp_path: Path) -> None:
    books = made.books(40)
    first, second = made.row(1), made.row(2, imbalance_min=0.5, hurdle_ticks=0.0)
    told = [*made.decisions(books[:20], first), *made.decisions(books[20:], second)]
    assert {each.config_version for each in told} == {1, 2}
    versions = [made.configured(each) for each in (second, first)]
    records = [started(), *versions, *map(made.published, books), *map(made.decided, told)]
    assert replayed(tmp_path, made.in_order(records)).ok
    wrong = [msgspec.structs.replace(each, config_version=2) for each in told]
    records = [started(), *versions, *map(made.published, books), *map(made.decided, wrong)]
    assert replayed(tmp_path, made.in_order(records)).unlike == {
        "answer": len([each for each in told if abs(each.numbers["imbalance"]) < 0.5])
    }


# -- not again -------------------------------------------------------------------------------------


def test_books_that_are_not_there_are_said(tmp_path: Path) -> None:
    gone = made.books(10)[-1].sequence
    records = [
        each
        for each in made.history()
        if not (isinstance(each, Published) and f'"sequence":{gone}' in (each.text or ""))
    ]
    report = replayed(tmp_path, records)
    assert not report.ok
    assert report.not_again == {"books_missing": report.decisions - report.equal}
    assert the_only(report).text == "1 of its books are not there; the first is 7:10"
    assert "not made again, books_missing: " in "\n".join(lines_of(report))


def test_those_from_before_the_recording_are_no_fault_of_it(tmp_path: Path) -> None:
    at_ns = made.books(20)[-1].received_at_ns
    records = [each for each in made.history() if each.at_ns > at_ns or each.at_ns == 1]
    report = replayed(tmp_path, records)
    assert report.not_again == {"before_recording": report.decisions}
    assert verdict_line(report).startswith("nothing to replay: ")


def test_without_its_configuration_none_is_made_again(tmp_path: Path) -> None:
    records = [each for each in made.history() if not isinstance(each, Configured)]
    report = replayed(tmp_path, records)
    assert report.not_again == {"configuration_missing": report.decisions}
    assert (
        the_only(report).text == "version 1 of book_imbalance_crypto's configuration is not there"
    )
    assert report.books_before_configuration == report.books


def test_a_configuration_may_come_after_all_decisions(tmp_path: Path) -> None:
    records = sorted(made.history(), key=lambda each: isinstance(each, Configured))
    assert replayed(tmp_path, records).ok


class OtherParameters(StrategyParameters):
    """Of a strategy that has become another one."""


class Renamed(Strategy):
    """Does not have those parameters any more."""

    name = BookImbalance.name
    Parameters = OtherParameters

    class Reason(StrEnum):
        NONE = "none"


def test_a_configuration_that_the_code_cannot_follow_is_said(tmp_path: Path) -> None:
    report = replayed(tmp_path, made.history(), book_imbalance_crypto=Renamed)
    assert report.not_again == {"configuration_unusable": report.decisions}
    assert "cannot be followed" in the_only(report).text
    assert report.accounts[0].not_asked == report.books


def test_a_strategy_that_is_not_here_is_said_with_what_to_do(tmp_path: Path) -> None:
    records = [
        made.configured(msgspec.structs.replace(made.row(), strategy="mine"))
        if isinstance(each, Configured)
        else each
        for each in made.history()
    ]
    report = replayed(tmp_path, records)
    assert report.not_again == {"strategy_not_loaded": report.decisions}
    assert "name its file: --strategy ./my_strategy.py" in "\n".join(lines_of(report))


def test_decisions_of_an_earlier_version_do_not_say_what_they_saw(tmp_path: Path) -> None:
    report = replayed(tmp_path, with_decisions(memory_versions=""))
    assert report.not_again == {"not_told": report.decisions}


@pytest.mark.parametrize("changes", [{"memory_versions": "7:9-1"}, {"memory_digest": "other"}])
def test_a_decision_that_contradicts_itself_is_not_made_again(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    report = replayed(tmp_path, with_decisions(**changes))
    assert report.not_again == {"unreadable": report.decisions}


def test_what_cannot_be_read_and_what_was_missed_is_said_and_the_rest_is_used(
    tmp_path: Path,
) -> None:
    book = made.books(1)[0]
    at = {"at_ns": book.received_at_ns, "mono_ns": book.received_at_ns}
    records = made.in_order(
        [
            *made.history(),
            made.published(book, b"no book"),
            Missed(what="books", messages=3, since_ns=1, why="a gap", **at),
            Lost(records=2, since_ns=1, **at),
            Configured(account="a", text="{}", **at),
        ]
    )
    report = replay(made.write(tmp_path, records, rest=b"\x1f\x8b torn"), Strategies())
    assert report.ok
    assert (report.unreadable, report.gaps, len(report.damages)) == (2, 2, 1)
    text = "\n".join(lines_of(report))
    assert "DAMAGED: part-000001-20231114T000000Z.jsonl.gz: " in text
    assert "UNREADABLE: 2; the first: configuration of a: " in text
    assert "MISSED by the recorder, 2 times; the first: books: a gap" in text


def test_a_decision_that_came_twice_is_compared_once(tmp_path: Path) -> None:
    records = made.history()
    last = next(each for each in reversed(records) if isinstance(each, Decided))
    report = replayed(tmp_path, [*records, last])
    assert (report.twice, report.equal) == (1, replayed(tmp_path, records).equal)


def test_a_recording_without_decisions_has_nothing_to_replay(tmp_path: Path) -> None:
    report = replayed(tmp_path, [started()])
    assert not report.ok
    assert verdict_line(report).startswith("nothing to replay: no decision in ")
    with pytest.raises(RecordingError, match="cannot read"):
        replay(tmp_path / "none", Strategies())


# -- order, and bounds -----------------------------------------------------------------------------


def results(records: Iterable[Record]) -> set[tuple[str, bool]]:
    """Of each decision whether it was equal."""
    found = set()
    for event in DecisionHistory(records):
        if isinstance(event, Remade):
            again = compared(event, Strategies())
            found.add((event.decision.decision_id, again is None))
        elif isinstance(event, NotRemade):
            found.add((event.decision_id, False))
    return found


@cache
def short() -> list[Record]:
    return made.history(12)


@settings(max_examples=25)
@given(st.lists(st.integers(-WAIT_S * 450, WAIT_S * 450), min_size=40, max_size=40))
def test_the_order_of_what_was_recorded_within_the_bound_changes_nothing(
    late_ms: list[int],
) -> None:
    records = made.in_order(
        made.at(each, each.at_ns + shift * 10**6) if each.at_ns > 1 else each
        for each, shift in zip(short(), late_ms, strict=False)
    )
    found = results(records)
    assert found == results(short())
    assert all(equal for _, equal in found)


def test_a_decision_waits_for_its_books_no_longer_than_is_said() -> None:
    first = next(each for each in short() if isinstance(each, Decided))
    decision = decode_decision(payload(first))
    late = [
        made.at(each, first.at_ns + (WAIT_S + 1) * 10**9 + number)
        if isinstance(each, Published)
        else each
        for number, each in enumerate(short())
        if isinstance(each, Published | Configured) or each is first
    ]
    (event,) = [
        each for each in DecisionHistory(made.in_order(late)) if isinstance(each, NotRemade)
    ]
    assert (event.decision_id, event.why) == (decision.decision_id, NotAgain.BOOKS_MISSING)
