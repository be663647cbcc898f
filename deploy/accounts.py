"""Which accounts a template serves: those that its functions are told, which serve all groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.findings import Findings
from functions.core.group import Execution, parse_strategies

Template = Mapping[str, Any]


def check_accounts(
    findings: Findings, deployed: Template, packaged: Template, executions: tuple[Execution, ...]
) -> None:
    """Refuses what no process could read, before it is deployed; tells which live accounts of the
    deployed template nobody would look after. `executions`: of `deployed` and `packaged`."""
    before, after = executions
    try:
        served = _accounts(packaged, after)
    except ValueError as error:
        findings.missing.append(f"STRATEGIES: {error}")
        return
    try:
        gone = {name for name, live in _accounts(deployed, before).items() if live} - served.keys()
    except ValueError:  # of another version; it is the new one that must be right
        return
    findings.found += [
        f"account {name}: would be served no more, and nobody would settle what it holds"
        for name in sorted(gone)
    ]


def _accounts(template: Template, execution: Execution) -> dict[str, bool]:
    """Whether each is live, by name. Raises ValueError."""
    function = template.get("Resources", {}).get("ReconcileLambdaFunction", {})
    told = function.get("Properties", {}).get("Environment", {}).get("Variables", {})
    text = told.get("STRATEGIES") or told.get("STRATEGY")
    entries = parse_strategies(text, execution) if isinstance(text, str) else ()
    return {entry.account: entry.live for entry in entries}
