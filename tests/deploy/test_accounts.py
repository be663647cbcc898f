"""`deploy.accounts`: whom a deployment would serve, and whom no more."""

from __future__ import annotations

from typing import Any

from deploy.accounts import check_accounts
from deploy.findings import Findings
from functions.core.group import Execution


def _told(**variables: str) -> dict[str, Any]:
    function = {"Properties": {"Environment": {"Variables": variables}}}
    return {"Resources": {"ReconcileLambdaFunction": function}}


def _found(
    deployed: dict[str, Any],
    packaged: dict[str, Any],
    before: Execution = "live",
    after: Execution = "live",
) -> Findings:
    findings = Findings()
    check_accounts(findings, deployed, packaged, (before, after))
    return findings


def test_accounts_that_no_process_could_read_are_refused() -> None:
    for text in ("a,,b", "a,a", "a=b=c", "a-paper=b"):
        [line] = _found({}, _told(STRATEGIES=text)).missing
        assert line.startswith("STRATEGIES: ")


def test_the_same_and_more_accounts_are_nothing_to_tell() -> None:
    for deployed in ({}, _told(STRATEGY="a"), _told(STRATEGIES="a"), _told(STRATEGIES="of, ,old")):
        findings = _found(deployed, _told(STRATEGIES="b,a"))
        assert findings.missing == findings.found == []


def test_a_live_account_that_nobody_would_look_after_is_told_of() -> None:
    [line] = _found(_told(STRATEGIES="a,b,c@paper"), _told(STRATEGIES="b")).found
    assert line.startswith("account a: would be served no more")
    # Another name of the same strategy, and another execution, are other accounts.
    [line] = _found(_told(STRATEGY="a"), _told(STRATEGIES="x=a")).found
    assert line.startswith("account a:")
    [line] = _found(_told(STRATEGIES="a"), _told(STRATEGIES="a"), after="paper").found
    assert line.startswith("account a:")
    assert _found(_told(STRATEGIES="a"), _told(STRATEGIES="a"), before="paper").found == []
