"""Several accounts: each is named with what it disagrees about, and their wallet is one."""

from __future__ import annotations

from functions.core.group import parse_strategies
from sandbox.audit_input import AuditInput
from sandbox.group_audit import group_disagreements, group_summary, nothing_at_stake
from tests.sandbox.test_audit import COOLDOWN_MS, REOPENED, audit_input, claim, entry

ACCOUNTS = parse_strategies(
    "first=book_imbalance_crypto,second=book_imbalance_crypto,shadow=book_imbalance_crypto@paper",
    "live",
)
NOTHING = audit_input([], [], [])


def found(first: AuditInput, second: AuditInput, shadow: AuditInput = NOTHING) -> list[str]:
    audits = {"first": first, "second": second, "shadow-paper": shadow}
    return group_disagreements(audits, ACCOUNTS, cooldown_ms=COOLDOWN_MS)


def test_accounts_that_agree_each_agree_together() -> None:
    first, second = (
        audit_input(
            [entry(number, token_id="t", condition_id="m")],
            [claim(number, token_id="t", condition_id="m")],
            [],
        )
        for number in (1, 2)
    )
    assert found(first, second, audit_input([], [claim(3)], [])) == []


def test_what_disagrees_is_said_with_its_account() -> None:
    said = found(audit_input([entry(1)], [claim(1)], []), audit_input([entry(2)], [], []))
    assert said[0] == "second: order o2 was posted, nothing records it"
    shadow = audit_input([entry(3)], [claim(3)], [])
    assert found(NOTHING, NOTHING, shadow) == ["shadow-paper: paper order o3 reached the venue"]


def test_an_order_in_two_accounts_is_more_than_the_wallet_was_given() -> None:
    said = found(audit_input([entry(1)], [claim(1)], []), audit_input([], [claim(1)], []))
    assert said[-1] == (
        "token t1: all live accounts together hold 4400000e-6 shares, "
        "the venue gave their wallet 2200000e-6"
    )


def test_a_run_in_which_no_live_account_bought_says_nothing() -> None:
    bought = audit_input([entry(1)], [claim(1)], [])
    on_paper = audit_input([], [claim(2)], [])
    audits = {"first": bought, "second": NOTHING, "shadow-paper": NOTHING}
    assert nothing_at_stake(audits, ACCOUNTS) == []
    audits |= {"first": NOTHING, "shadow-paper": on_paper}
    said = ["no order was matched: there was nothing to lose"]
    assert nothing_at_stake(audits, ACCOUNTS) == said
    assert nothing_at_stake(audits, ACCOUNTS[-1:]) == []
    assert nothing_at_stake({"shadow-paper": NOTHING}, ACCOUNTS[-1:]) == said


def test_the_summary_has_a_line_an_account_and_names_what_came_back() -> None:
    lines = list(group_summary({"a": audit_input([entry(1)], [REOPENED], []), "b": NOTHING}))
    assert [line.split(": ")[0] for line in lines] == ["a", "a", "b"]
    assert lines[1] == "a: reopened by late evidence: order o1"
    assert next(group_summary({"a": NOTHING})).startswith("venue: ")
