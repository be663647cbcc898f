"""What the folder's accounts, ledgers and decisions say, held against each other."""

from __future__ import annotations

import time
from pathlib import Path

import aiohttp

from functions.bootstrap import unopened_stores
from functions.core.account import utc_day
from functions.settings import AccountSettings
from protocol.decision import Decision
from sandbox.audit import records_of
from sandbox.audit_input import AuditInput, audit_input_of, resolved_markets
from sandbox.group_audit import group_disagreements, group_summary, nothing_at_stake
from sandbox.services import Options

DECISIONS_MAX = 10_000


def settings_of(folder: Path, options: Options) -> AccountSettings:
    """Whoever looks at the folder's accounts."""
    return AccountSettings(
        state=f"sqlite:///{folder / 'state.sqlite'}",
        strategies=options.strategies,
        execution="paper",
    )


async def audit_input_of_folder(
    folder: Path, venue_url: str, options: Options
) -> dict[str, AuditInput]:
    """By account. On paper the venue's journal has to be empty. Raises aiohttp.ClientError,
    StoreError."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        resolved = await resolved_markets(session, venue_url)
    async with unopened_stores(settings_of(folder, options)) as stores:
        return {name: await audit_input_of(store, [], resolved) for name, store in stores.items()}


async def logged_decisions(folder: Path, options: Options) -> dict[str, list[Decision]]:
    """Of today and, where midnight was passed, of yesterday; by account."""
    now_ms = time.time_ns() // 1_000_000
    days = sorted({utc_day(now_ms - 3_600_000), utc_day(now_ms)})
    async with unopened_stores(settings_of(folder, options)) as stores:
        return {
            name: [each for day in days for each in await store.decisions(day, DECISIONS_MAX)]
            for name, store in stores.items()
        }


def disagreements_of(
    audits: dict[str, AuditInput], decisions: dict[str, list[Decision]], options: Options
) -> tuple[list[str], list[str]]:
    """(what was compared, what does not agree)."""
    found = group_disagreements(audits, options.accounts, cooldown_ms=options.cooldown_ms)
    found += nothing_at_stake(audits, options.accounts)
    lines = list(group_summary(audits))
    for name, audit_input in audits.items():
        executed = [each for each in decisions[name] if each.result == "executed"]
        records = records_of(audit_input)
        lines.append(f"decisions: {len(decisions[name])} logged, {len(executed)} of them executed")
        for each in executed:
            record = records.get(each.order_id)
            if record is None:
                found.append(f"decision {each.decision_id} is executed, nothing records its order")
            elif record.filled_size_e6 != each.filled_size_e6:
                found.append(
                    f"decision {each.decision_id}: {each.filled_size_e6}e-6 shares, "
                    f"{record.filled_size_e6}e-6 in the record of its order"
                )
    return lines, found
