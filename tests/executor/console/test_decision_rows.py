"""Which decisions a page shows, and how."""

from __future__ import annotations

import random
from typing import Any

import pytest

from executor.console import decision_rows
from executor.console.decision_rows import (
    PAGE_ROWS,
    DecisionFilter,
    DecisionRow,
    NewestDecisions,
    page_of,
)
from protocol.decision import Decision, Timeline
from tests.support.account_builders import make_decision

AT_MS = 1_790_000_000_000


def a_decision(number: int, **changes: Any) -> Decision:
    return make_decision(number, **{"decided_at_ms": AT_MS + number, **changes})


def ids(decisions: Any) -> list[str]:
    return [each.decision_id for each in decisions]


def test_the_newest_are_kept_in_order_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_rows, "KEPT_MAX", 20)
    made = [a_decision(number) for number in range(50)]
    shuffled = made * 2
    random.Random(1).shuffle(shuffled)
    newest = NewestDecisions()
    for each in shuffled:
        newest.put([each])
    assert ids(newest.newest_first()) == ids(reversed(made[-20:]))
    assert newest.named("d49") == made[49]
    assert newest.named("d1") is None
    before = newest.version
    assert newest.put(made) == 0
    assert newest.version == before


def test_what_a_decision_saw_takes_no_room() -> None:
    newest = NewestDecisions()
    newest.put([a_decision(1, memory_versions="7:1-9000!7:9000", memory_digest="ab")])
    (kept,) = newest.newest_first()
    assert (kept.memory_versions, kept.memory_digest) == ("", "")


def test_the_same_id_in_two_accounts_is_two_decisions() -> None:
    newest = NewestDecisions()
    newest.put([a_decision(1), a_decision(1, strategy="another")])
    assert len(newest) == 2


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, ["d4", "d3", "d2", "d1"]),
        ({"account": "another"}, ["d3"]),
        ({"reason": "matched"}, ["d2"]),
        ({"result": "executed"}, ["d2"]),
        ({"market": "ETH"}, ["d4"]),
        ({"market": " eth ", "page": "x"}, ["d4"]),
        ({"market": "%", "account": "*"}, []),
        ({"page": "1"}, []),
    ],
)
def test_a_query_says_which_are_shown(query: dict[str, str], wanted: list[str]) -> None:
    made = [
        a_decision(1),
        a_decision(2, result="executed", reason="matched"),
        a_decision(3, strategy="another"),
        a_decision(4, slug="eth-updown-15m-1"),
    ]
    newest = NewestDecisions()
    newest.put(made)
    assert ids(page_of(newest.newest_first(), DecisionFilter.of(query)).decisions) == wanted


def test_pages_follow_each_other_without_a_gap() -> None:
    made = [a_decision(number) for number in range(2 * PAGE_ROWS + 1, 0, -1)]
    pages = [page_of(made, DecisionFilter(page=page)) for page in range(3)]
    assert ids(each for page in pages for each in page.decisions) == ids(made)
    assert [(page.newer, page.older) for page in pages] == [
        (False, True),
        (True, True),
        (True, False),
    ]
    read = []
    page_of((read.append(each) or each for each in made), DecisionFilter())  # type: ignore[func-returns-value]
    assert len(read) == PAGE_ROWS + 1, "no more is read than the page needs"


def test_a_filter_goes_along_to_the_next_page() -> None:
    wanted = DecisionFilter.of({"reason": "a&b=<", "market": "x" * 5_000, "page": "7"})
    assert len(wanted.market) == 256
    assert wanted.query(page=8) == f"reason=a%26b%3D%3C&market={'x' * 256}&page=8"
    assert DecisionFilter.of({"page": "9" * 4_000}).page == 0
    assert DecisionFilter.of({"page": "99999"}).page == 1_000


def test_what_can_be_chosen_is_what_is_there() -> None:
    newest = NewestDecisions()
    newest.put([a_decision(1), a_decision(2, result="executed", reason="matched", strategy="b")])
    choices = newest.choices()
    assert choices.reasons == ("cooldown", "matched")
    assert choices.markets == ("btc-updown-15m-2", "btc-updown-15m-1")
    assert newest.choices() is choices
    newest.put([a_decision(3, reason="halted")])
    assert newest.choices().reasons == ("cooldown", "halted", "matched")


def test_a_row_says_what_became_of_it() -> None:
    timeline = Timeline(
        received_at_ns=10**9, published_at_ns=10**9 + 210_000, delivered_at_ns=10**9 + 1_010_000
    )
    row = DecisionRow.of(
        a_decision(
            5,
            result="executed",
            reason="matched",
            filled_size_e6=2_200_000,
            filled_spend_e6=1_100_000,
            timeline=timeline,
            config_version=3,
        )
    )
    assert row.path == "/decisions/d5?account=book_imbalance_crypto-paper&day=2026-09-21"
    assert (row.time, row.filled, row.version) == ("14:13:20", "2.20 for 1.10", "3")
    assert (row.signal, row.limit) == ("0.51", "0.5355")
    assert row.stages == "publish 0.21 ms, deliver 0.80 ms"


@pytest.mark.parametrize("decision_id", ["", "a/b", "../x", "<script>", "a b", "ä"])
def test_an_id_that_could_be_another_path_is_not_linked(decision_id: str) -> None:
    assert DecisionRow.of(a_decision(1, decision_id=decision_id)).path == ""
