"""From what was seen to what is to be told. Pure, and of durable state wherever there is any.

| kind | from | over when |
|---|---|---|
| halted | account item | it is resumed |
| daily_loss, daily_spend | account item, limits in force | the UTC day is (nothing is said) |
| unresolved, unsettled | claims of the account item | the claim is resolved, or gone |
| reopened | claims and ledger (`came_back`) | never: it has happened |
| winnings_stuck | account item | the note is gone |
| paused | account item | the pause is |
| positions_differ, another_trader, group_differs | the schedule's last run | a run finds nothing |
| no_books | newest books on NATS | a proven one is there |
| restarting, gone, unwell | `system.json`, `/healthz` | five quiet minutes |
| system_gone, store | `system.json`; the store's answers | it is mended |
| disk, not_delivered | the data folder; the services' answers | it is mended |
| settled, digest | ledger | never |

That positions differ stands nowhere: each run of the schedule asks the venue, and says so again.
What cannot be seen is not over: each alert has a scope, and `conditions` says which were seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from executor.alerts.alert import Alert, SeenAccount, SeenNow, usd
from executor.alerts.summaries import summaries
from functions.core.account import TRADING_ENABLED, Account, utc_day
from functions.core.claim import Claim
from functions.core.lifecycle import overdue, unsettled
from functions.core.winnings import market_of, stuck
from local.status import ProcessStatus, SystemStatus

NO_BOOKS_AFTER_MS: Final = 30_000
STORE_AFTER_MS: Final = 30_000
GONE_AFTER_MS: Final = 30_000
STARTING_AFTER_MS: Final = 120_000
UNWELL_AFTER_MS: Final = 60_000
RECENTLY_MS: Final = 300_000
"""So long a restart is told of."""
SYSTEM_GONE_AFTER_MS: Final = 15_000
LONG_PAUSE_MS: Final = 120_000
"""Shorter ones are the venue's everyday: an engine's restart takes 90 s."""
DISK_FREE_MIN_BYTES: Final = 500_000_000
ALERTS_OF_A_KIND_MAX: Final = 20
"""Of one account: of more claims the first ones are told, and that there are more."""


def conditions(seen: SeenNow) -> tuple[list[Alert], set[str]]:
    """What holds now, and the scopes of which anything was seen."""
    alerts: list[Alert] = [*_of_books(seen), *_of_machine(seen)]
    known = {"machine"} | (set() if seen.books_problem else {"books"})
    for one in seen.accounts:
        known.add(f"store|{one.name}")
        if one.account is None:
            alerts += _of_store(one, seen.at_ms)
            continue
        known.add(one.name)
        alerts += _of_account(one, one.account, seen.at_ms)
        if one.name in seen.schedule:
            known.add(f"schedule|{one.name}")
            alerts += _of_schedule(one, seen)
    if seen.system is not None:
        known |= {"system"} | ({"processes"} if _alive(seen.system, seen.at_ms) else set())
        alerts += _of_system(seen.system, seen)
    return alerts + summaries(seen), known


def name_of(one: SeenAccount) -> str:
    """How an account is called in a message: paper and live are never mistaken."""
    return f"{one.execution.upper()} {one.name}"


# -- accounts --------------------------------------------------------------------------------------


def _of_account(one: SeenAccount, account: Account, now_ms: int) -> Iterator[Alert]:
    name, who = one.name, name_of(one)
    if account.trading != TRADING_ENABLED:
        reason = account.halt_reason or "no reason was given"
        yield Alert(
            key=f"halted|{name}|{account.halt_id or reason}",
            scope=name,
            level="information",
            text=f"HALTED: {who}: {reason}\nNo new order is made. At the machine: executor resume",
            over=f"RESUMED: {who} trades again (was halted: {reason})",
            calm_ms=0,
            repeats=False,
        )
    yield from _of_limits(one, account, now_ms)
    claims = sorted(account.claims.values(), key=lambda claim: claim.claimed_at_ms)
    yield from _bounded("unresolved", one, [c for c in claims if overdue(c, now_ms)], now_ms)
    yield from _bounded("unsettled", one, [c for c in claims if unsettled(c, now_ms)], now_ms)
    yield from _reopened(one, claims)
    for key in [k for k, note in account.redeem.items() if stuck(note, now_ms)]:
        yield Alert(
            key=f"winnings_stuck|{name}|{key}",
            scope=name,
            text=f"WINNINGS NOT PAID: {who}: market {_short(market_of(key))}\n"
            "They were asked for in vain. Guide: Redeeming",
            over=f"over: {who}: the winnings of {_short(market_of(key))} are paid",
        )
    pause = account.pause
    if pause.until_ms > now_ms and pause.until_ms - pause.since_ms >= LONG_PAUSE_MS:
        minutes = (pause.until_ms - pause.since_ms) / 60_000
        yield Alert(
            key=f"paused|{name}|{pause.reason}",
            scope=name,
            text=f"PAUSED: {who}: the venue refuses the account: {pause.reason}\n"
            f"No order for {minutes:.0f} minutes. Guide: Paused",
            over=f"over: {who} is not paused any more",
        )


def _of_limits(one: SeenAccount, account: Account, now_ms: int) -> Iterator[Alert]:
    day, limits, who = utc_day(now_ms), one.limits, name_of(one)
    pnl_e6, spent_e6 = account.pnl_e6.get(day, 0), account.spent_e6.get(day, 0)
    rest = "No new order until 00:00 UTC. executor config set changes it"
    if pnl_e6 <= -limits.daily_loss_limit_e6:
        yield Alert(
            key=f"daily_loss|{one.name}|{day}",
            scope=one.name,
            level="information",
            text=f"DAILY LOSS LIMIT REACHED: {who}: {usd(pnl_e6)} today, "
            f"limit {limits.daily_loss_limit_e6 / 1e6:.2f} USD\n{rest}",
        )
    if limits.daily_spend_cap_e6 - spent_e6 < max(one.size_e6, 1):
        yield Alert(
            key=f"daily_spend|{one.name}|{day}",
            scope=one.name,
            level="information",
            text=f"DAILY SPEND CAP REACHED: {who}: {spent_e6 / 1e6:.2f} of "
            f"{limits.daily_spend_cap_e6 / 1e6:.2f} USD\n{rest}",
        )


def _bounded(kind: str, one: SeenAccount, claims: list[Claim], now_ms: int) -> Iterator[Alert]:
    for claim in claims[:ALERTS_OF_A_KIND_MAX]:
        yield _of_claim(kind, one, claim, now_ms)
    more = len(claims) - ALERTS_OF_A_KIND_MAX
    if more > 0:
        yield Alert(
            key=f"{kind}|{one.name}|more",
            scope=one.name,
            text=f"{kind.upper()}: {name_of(one)}: and {more} more claims\nexecutor positions",
            over=f"over: {name_of(one)}: fewer claims are {kind}",
        )


def _of_claim(kind: str, one: SeenAccount, claim: Claim, now_ms: int) -> Alert:
    # Not by its version: each look of the reconciliation that finds nothing is one more.
    who, age_s = name_of(one), (now_ms - claim.claimed_at_ms) // 1000
    what = f"{claim.slug} {claim.outcome}, {claim.spend_e6 / 1e6:.2f} USD"
    texts = {
        "unresolved": f"UNRESOLVED for {age_s // 60} min: {who}: {what}\n"
        "Nobody knows yet what it bought. Guide: An unresolved claim",
        "unsettled": f"NOT SETTLED an hour after its end: {who}: {what}\n"
        "It takes a slot until it is. Guide: A market that does not resolve",
    }
    ends = {"unresolved": "is resolved", "unsettled": "is settled"}
    return Alert(
        key=f"{kind}|{one.name}|{claim.attempt_id}",
        scope=one.name,
        text=texts[kind],
        over=f"over: {who}: {claim.slug} {claim.outcome} {ends[kind]}",
        calm_ms=0,
    )


def _reopened(one: SeenAccount, live: list[Claim]) -> Iterator[Alert]:
    latest = {claim.intent_id: claim for claim in one.ended if claim.came_back}
    latest |= {claim.intent_id: claim for claim in live if claim.came_back}
    for claim in latest.values():
        shares = claim.filled_size_e6 / 1e6
        yield Alert(
            # What it bought, not its version, which counts looks, too.
            key=f"reopened|{one.name}|{claim.intent_id}|{claim.filled_size_e6}",
            scope=one.name,
            text=f"REOPENED: {name_of(one)}: {claim.slug} {claim.outcome}\n"
            f"The venue showed late that it bought {shares:.2f} shares for "
            f"{claim.filled_spend_e6 / 1e6:.2f} USD. It is counted. Guide: Reopened",
        )


def _of_schedule(one: SeenAccount, seen: SeenNow) -> Iterator[Alert]:
    found, who, scope = seen.schedule[one.name], name_of(one), f"schedule|{one.name}"
    if found.mismatches:
        yield Alert(
            key=f"positions_differ|{one.name}",
            scope=scope,
            text=f"POSITIONS DIFFER: {who}: the venue shows other shares of {found.mismatches} "
            "tokens than the claims say\nGuide: A position differs",
            over=f"over: {who}: positions are what the claims say",
        )
    if found.strangers:
        yield Alert(
            key=f"another_trader|{one.name}",
            scope=scope,
            text=f"ANOTHER TRADER: {who}: {found.strangers} live claims are not of these API "
            "credentials\nGuide: Another account's credentials",
            over=f"over: {who}: all claims are of these API credentials",
        )
    if found.group_difference_usd:
        yield Alert(
            key=f"group_differs|{one.name}",
            scope=scope,
            text=f"GROUP DIFFERS: {who}: the group counts {found.group_difference_usd:+.2f} USD "
            "beside its claims\nGuide: A group counts something else",
            over=f"over: {who}: the group counts what its claims say",
        )


def _of_store(one: SeenAccount, now_ms: int) -> Iterator[Alert]:
    if now_ms - one.unread_since_ms >= STORE_AFTER_MS:
        yield Alert(
            key=f"store|{one.name}",
            scope=f"store|{one.name}",
            text=f"STATE NOT READABLE: {name_of(one)}: {one.problem}\n"
            "Nothing is claimed while it cannot be written. executor doctor",
            over=f"over: {name_of(one)}: the state can be read again",
            calm_ms=30_000,
        )


# -- the system on this machine --------------------------------------------------------------------


def _of_books(seen: SeenNow) -> Iterator[Alert]:
    for series, proven_at_ms in seen.proven_at_ms.items():
        silent_s = (seen.at_ms - proven_at_ms) // 1000
        if silent_s * 1000 < NO_BOOKS_AFTER_MS:
            continue
        why = f"\n{seen.books_problem}" if seen.books_problem else ""
        yield Alert(
            key=f"no_books|{series}",
            scope="books",
            text=f"NO PROVEN BOOK of {series} for {silent_s} s: nothing is traded on it{why}\n"
            "Guide: A dark market. executor doctor",
            over=f"over: proven books of {series} come again",
            calm_ms=30_000,
        )


def _of_system(system: SystemStatus, seen: SeenNow) -> Iterator[Alert]:
    if system.stopped:
        return
    if not _alive(system, seen.at_ms):
        age_ms = seen.at_ms - system.written_at_ms
        yield Alert(
            key="system_gone",
            scope="system",
            text=f"THE SYSTEM IS GONE: nothing was heard of its supervisor for {age_ms // 1000} s\n"
            f"Start it again: executor {system.execution}",
            over="over: the system runs again",
            calm_ms=10_000,
        )
        return
    for process in system.processes:
        yield from _of_process(process, seen)


def _alive(system: SystemStatus, now_ms: int) -> bool:
    """Whether what it says of its processes is of now."""
    return not system.stopped and now_ms - system.written_at_ms < SYSTEM_GONE_AFTER_MS


def _of_process(process: ProcessStatus, seen: SeenNow) -> Iterator[Alert]:
    name, lasts_ms = process.name, seen.at_ms - process.since_ms
    end = f"\nIts last end: {_line(process.last_end)}" if process.last_end else ""
    hint = f"\nlogs/{name}.log"
    if process.restarts and (process.state != "running" or lasts_ms < RECENTLY_MS):
        times = "once" if process.restarts == 1 else f"{process.restarts} times"
        yield Alert(
            key=f"restarting|{name}",
            scope="processes",
            text=f"RESTARTED: {name}, {times} since the start{end}{hint}",
            over=f"over: {name} runs, without another restart",
            calm_ms=0,
        )
    patience_ms = STARTING_AFTER_MS if process.state == "starting" else GONE_AFTER_MS
    if process.state != "running" and lasts_ms >= patience_ms:
        yield Alert(
            key=f"gone|{name}",
            scope="processes",
            text=f"NOT RUNNING: {name}, for {lasts_ms // 1000} s{end}{hint}",
            over=f"over: {name} runs again",
            calm_ms=0,
        )
    health = seen.processes.get(name)
    if process.state != "running" or health is None or not health.problem:
        return
    if seen.at_ms - max(health.since_ms, process.since_ms) >= UNWELL_AFTER_MS:
        yield Alert(
            key=f"unwell|{name}",
            scope="processes",
            text=f"UNWELL: {name}: {_line(health.problem)}{hint}",
            over=f"over: {name} is well again",
            calm_ms=30_000,
        )


def _of_machine(seen: SeenNow) -> Iterator[Alert]:
    if seen.disk_free_bytes is not None and seen.disk_free_bytes < DISK_FREE_MIN_BYTES:
        yield Alert(
            key="disk",
            scope="machine",
            text=f"DISK NEARLY FULL: {seen.disk_free_bytes // 1_000_000} MB are free where the "
            "data folder is\nTrading stops claiming when it is full. Make room",
            over="over: the disk has room again",
        )
    for service, why in seen.failing.items():
        yield Alert(
            key=f"not_delivered|{service}",
            scope="machine",
            text=f"ALERTS NOT DELIVERED by {service}: {why}\nexecutor alert test",
            over=f"over: {service} takes alerts again",
            calm_ms=0,
        )


def _short(identifier: str) -> str:
    return identifier if len(identifier) <= 16 else f"{identifier[:10]}...{identifier[-4:]}"


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
