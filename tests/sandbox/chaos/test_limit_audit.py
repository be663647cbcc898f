"""A claim that a limit did not bind is found: by the order of looks, by its time, by its number."""

from __future__ import annotations

from decimal import Decimal

from functions.core.claim import Claim
from sandbox.chaos.claim_watch import ClaimWatch
from sandbox.chaos.limit_audit import over_limits
from sandbox.chaos.retuner import Returned
from tests.sandbox.test_audit import NOON_MS, audit_input, claim
from tests.support.configuration_builders import a_row

ROWS = [a_row(1, max_positions=3), a_row(2, max_positions=1), a_row(3, max_positions=2)]


def account_watch() -> ClaimWatch:
    return ClaimWatch("http://127.0.0.1:1", "account")


def look(watch: ClaimWatch, *claims: Claim, binding: int = 0) -> None:
    watch.saw(audit_input([], list(claims), []).account, 1, binding)


def found(watch: ClaimWatch, *records: Claim, returned_ms: int | None = None) -> list[str]:
    returned = [Returned(account="account", version=2, at_ms=returned_ms)] if returned_ms else []
    return over_limits(records, watch, ROWS, returned)


def test_a_claim_first_seen_after_a_look_that_a_newer_version_bound_is_outdated() -> None:
    watch = account_watch()
    look(watch, claim(1, config_version=1), binding=2)
    look(watch, claim(1, config_version=1), claim(2, config_version=1), binding=2)
    [sentence] = watch.outdated
    assert sentence.startswith("order o2 was claimed under version 1")
    assert sentence in found(watch)


def test_a_claim_that_the_change_may_have_met_under_way_is_none() -> None:
    watch = account_watch()
    look(watch, binding=0)
    look(watch, claim(1, config_version=1), binding=2)  # written before this look, perhaps
    look(watch, claim(1, config_version=1), claim(2, config_version=2), binding=2)
    back = claim(3, config_version=1, came_back=True)  # by late evidence, which asks no limit
    look(watch, claim(2, config_version=2), back, binding=2)
    assert watch.outdated == []


def test_no_claim_appears_beside_more_than_its_version_allows() -> None:
    watch = account_watch()
    three = [claim(number, config_version=1) for number in (1, 2, 3)]
    look(watch, *three)
    look(watch, *three, binding=2)  # lowered to one: what is there stays
    assert found(watch) == []
    look(watch, *three[1:], claim(4, config_version=2), binding=2)
    assert found(watch) == ["3 live claims when one of version 2 appeared, which allows 1"]


def test_what_came_back_takes_no_place_of_a_new_claim() -> None:
    watch = account_watch()
    look(watch, claim(1, config_version=1, came_back=True), claim(2, config_version=2))
    assert found(watch) == []


def test_a_claim_made_after_the_change_had_returned_names_it() -> None:
    late = claim(1, config_version=1)
    assert found(account_watch(), late, returned_ms=NOON_MS) == []
    assert found(account_watch(), late, returned_ms=NOON_MS - 7) == [
        "order o1 was claimed under version 1 7 ms after version 2 was in force"
    ]


def test_a_claim_reserves_no_more_than_the_size_of_its_version() -> None:
    size = Decimal("1.1")
    [row] = [a_row(1, size_usd=size)]
    assert over_limits([claim(1, config_version=1)], account_watch(), [row], []) == []
    more = claim(1, config_version=1, spend_e6=1_100_001)
    assert over_limits([more], account_watch(), [row], []) == [
        "order o1 was claimed under version 1 for 1100001e-6 USD, which allows 1100000e-6"
    ]


def test_a_version_that_there_is_not_is_named() -> None:
    assert found(account_watch(), claim(1, config_version=9)) == [
        "order o1 was claimed under version 9, which there is not"
    ]
