from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.group import (
    ACCOUNTS_MAX,
    AccountEntry,
    books_consumer,
    chosen,
    is_file,
    parse_strategies,
)
from protocol.subjects import decision_subject


def entries(text: str, execution: str = "live") -> list[tuple[str, str, str]]:
    parsed = parse_strategies(text, execution)  # type: ignore[arg-type]
    return [(each.account, each.strategy, each.execution) for each in parsed]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", [("a", "a", "live")]),
        ("a@paper", [("a-paper", "a", "paper")]),
        ("x=a", [("x", "a", "live")]),
        (" x=a@paper , a ", [("x-paper", "a", "paper"), ("a", "a", "live")]),
        ("./mine.py:MyStrategy", [("my_strategy", "./mine.py:MyStrategy", "live")]),
        ("/s/m.py:HTTPBook2@paper", [("http_book2-paper", "/s/m.py:HTTPBook2", "paper")]),
        ("m=../a b/mine.py:S@live", [("m", "../a b/mine.py:S", "live")]),
        ("./a@paper.py:S", [("s", "./a@paper.py:S", "live")]),
        ("./mine.py@paper", [("mine-paper", "./mine.py", "paper")]),
    ],
)  # fmt: skip
def test_an_entry_names_account_strategy_and_execution(
    text: str, expected: list[tuple[str, str, str]]
) -> None:
    assert entries(text) == expected


def test_an_entry_that_names_no_execution_has_the_given_one() -> None:
    assert entries("a,b@live", "paper") == [("a-paper", "a", "paper"), ("b", "b", "live")]


def test_a_shadow_is_the_same_strategy_under_another_name() -> None:
    assert entries("a,shadow=a@paper") == [("a", "a", "live"), ("shadow-paper", "a", "paper")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,,b", "entry 2: it is empty"),
        ("a,", "entry 2: it is empty"),
        ("=a,b", "entry 1: names of at most"),
        ("a,b c", "entry 2: names of at most"),
        ("a@demo", "after @ stands paper or live"),
        ("b,./mine.py@papr", "entry 2: after @ stands paper or live"),
        ("x.y=a", "names of at most"),
        ("x=y=a", "names of at most"),
        ("x" * 59, "names of at most 58"),
        ("./mine.py:", "names of at most"),
        ("./m\x1bine.py:S", "names of at most"),
        ("a,b,a", "entry 3: a second account a; give it a name of its own"),
        ("a@paper,a@paper", "entry 2: a second account a-paper"),
        ("x-paper=a", "no name ends with -paper"),
        (",".join(f"x{n}=a" for n in range(ACCOUNTS_MAX + 1)), "51 accounts; a worker serves at"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        entries(text)
    assert str(refused.value).startswith(told)


def test_a_strategy_that_there_is_not_is_told_by_its_entry() -> None:
    def check(name: str) -> None:
        if name != "a":
            raise ValueError("no such strategy")

    with pytest.raises(ValueError, match=r"^entry 2: no such strategy$"):
        parse_strategies("a,b", "live", check)
    with pytest.raises(ValueError, match=r"^no such strategy$"):
        parse_strategies("b", "live", check)


@given(st.text())
def test_whatever_is_taken_can_be_a_subject_and_is_told_apart(text: str) -> None:
    try:
        taken = parse_strategies(text, "paper")
    except ValueError as error:
        assert "\n" not in str(error)
        return
    assert len({each.account for each in taken}) == len(taken)
    for each in taken:
        decision_subject(each.account)
        assert each.live != each.account.endswith("-paper")
        assert is_file(each.strategy) == (".py" in each.strategy)


def test_one_account_has_the_books_under_its_own_name_as_ever() -> None:
    assert books_consumer(parse_strategies("a@paper", "live"), "group") == "a-paper"


def test_workers_of_other_accounts_share_no_books() -> None:
    ab, ba, ac = (
        books_consumer(parse_strategies(text, "live"), "g") for text in ("a,b", "b,a", "a,c")
    )
    assert ab == ba != ac
    assert ab.startswith("g-") and len(ab) == 10


def test_one_of_several_must_be_named() -> None:
    several = parse_strategies("a,b@paper", "live")
    assert chosen(several, "b-paper").strategy == "b"
    with pytest.raises(
        ValueError, match=r"^STRATEGIES names 2 accounts, say which one: a, b-paper$"
    ):
        chosen(several, None)
    with pytest.raises(
        ValueError, match=r"^STRATEGIES names no such account; there is: a, b-paper$"
    ):
        chosen(several, "b")
    only = AccountEntry(account="a", strategy="a", execution="live")
    assert chosen((only,), None) == only
