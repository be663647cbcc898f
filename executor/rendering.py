"""Reports as what stands on a terminal: pure functions from structs to rich renderables.

What came from outside (reasons, market names, the venue's texts) is shown as plain text: it is
never read as rich's markup, and loses what is not printable, so that it cannot move the cursor.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from executor.doctor.finding import Finding, Level
from protocol.units import price_decimal, size_decimal, usd_decimal
from runtime.addresses import origins

if TYPE_CHECKING:  # a backtest needs none of what they bring
    from executor.reports import Decisions, Ended, LoggedDecision, Position, Positions, Statuses
    from functions.core.account_status import Status
    from functions.handlers.reconcile import ReconcileReport
    from functions.handlers.settle import SettleReport

GOOD: Final = "green"
BAD: Final = "bold red"
CARE: Final = "yellow"
_FOLDED: Final = frozenset({"order", "words", "latency, ms", "why"})
"""Columns that may take several lines where the terminal is narrow."""
ID_SHOWN: Final = 8
"""Characters of a decision's id: `executor explain` takes them for the whole."""


def account_line(account: str, execution: str) -> Text:
    """The first line of every command."""
    return Text.assemble("account ", (account, "bold"), f" ({execution})")


def status_view(status: Status) -> RenderableType:
    """`executor status`."""
    rows = facts_table()
    halted = f"HALTED: {status.halt_reason or 'no reason given'}"
    rows.add_row("trading", plain("enabled", GOOD) if status.trading else plain(halted, BAD))
    rows.add_row("paused", _pause(status))
    rows.add_row("configuration", _configuration(status))
    rows.add_row(
        "claims", plain(f"{status.open} open, {status.unknown} unknown, {status.claimed} claimed")
    )
    rows.add_row("slots", _slots(status))
    rows.add_row("entries", _entries(status))
    rows.add_row("P&L today", _profit(status))
    rows.add_row("spent today", _spending(status))
    rows.add_row("redemptions waiting", _redemptions(status))
    rows.add_row("cooldowns", str(status.cooldowns))
    rows.add_row("oldest unresolved", _oldest(status))
    for slug in status.unsettled:
        text = f"{slug} has ended long ago; `executor reconcile` says why it still takes a slot"
        rows.add_row("UNSETTLED", plain(text, BAD))
    return rows


def statuses_view(statuses: Statuses) -> RenderableType:
    """`executor status` of several accounts: a line each, with what a person must look at."""
    table = columns_table("account", "trading", "slots", "P&L today", "spent today", "words")
    for each in statuses.accounts:
        trading = plain("enabled", GOOD) if each.trading else plain("HALTED", BAD)
        alarms = [
            f"{each.overdue} claims overdue" if each.overdue else "",
            f"{len(each.unsettled)} not settled" if each.unsettled else "",
            f"{each.redemptions_stuck} not redeemed" if each.redemptions_stuck else "",
            each.halt_reason,
            f"paused: {each.pause_reason}" if each.pause_reason else "",
        ]
        table.add_row(
            plain(each.account),
            trading,
            _slots(each),
            _profit(each),
            _spending(each),
            plain("; ".join(filter(None, alarms)), BAD),
        )
    for name, why in statuses.unreadable.items():
        table.add_row(plain(name), plain("NOT KNOWN", BAD), "", "", "", plain(why, BAD))
    return table


def positions_view(positions: Positions, *, ended: bool) -> RenderableType:
    """`executor positions`; with `ended` the ledger's rows, too."""
    parts: list[RenderableType] = [
        _live_table(positions.positions) if positions.positions else Text("no live claims")
    ]
    if ended:
        parts += ["", _ended_table(positions.ended) if positions.ended else Text("nothing ended")]
    return Group(*parts, *_unreadable(positions.unreadable))


def decisions_view(decisions: Decisions) -> RenderableType:
    """`executor decisions`."""
    unreadable = _unreadable(decisions.unreadable)
    if not decisions.decisions:
        on = f" on {decisions.day}" if decisions.day else ""
        return Group(plain(f"no decisions{on}"), *unreadable)
    several = len({each.account for each in decisions.decisions}) > 1
    table = columns_table(
        "id",
        *(["account"] if several else []),
        "time",
        "market",
        "",
        "result",
        "version",
        "signal at",
        "bought",
        "words",
        "latency, ms",
    )
    for each in decisions.decisions:
        account = [plain(each.account)] if several else []
        table.add_row(plain(each.decision_id[:ID_SHOWN]), *account, *_decision_row(each))
    return Group(table, *unreadable)


def _unreadable(rows: Sequence[str]) -> list[RenderableType]:
    """One line about rows that are not shown; none, when all are."""
    if not rows:
        return []
    line = plain(f"{len(rows)} rows CANNOT BE READ, the first: {rows[0]}", BAD)
    line.no_wrap, line.overflow = True, "ignore"
    return [line]


def reconciled_view(report: ReconcileReport, settled: SettleReport) -> RenderableType:
    """`executor reconcile`."""
    rows = facts_table()
    rows.add_row("asked about", f"{report.looked} claims, {report.resolved} moved on")
    rows.add_row(
        "settled",
        f"{settled.settled} positions, P&L {usd(settled.pnl_e6)} USD; {settled.waiting} waiting",
    )
    rows.add_row("redeeming", f"{settled.redeeming} markets, {settled.requests} asked for now")
    rows.add_row("not ours", f"{report.foreign} orders that no claim knows")
    failures = report.failures + settled.failures
    rows.add_row("without an answer", plain(str(failures), BAD if failures else ""))
    for order_id in report.overdue:
        rows.add_row("OVERDUE", plain(f"order {order_id}", BAD))
    for order_id in report.strangers:
        rows.add_row("ANOTHER TRADER'S", plain(f"order {order_id}", BAD))
    for mismatch in report.mismatches:
        rows.add_row("MISMATCH", plain(mismatch, BAD))
    for condition_id in settled.strangers:
        rows.add_row("ANOTHER TRADER'S", plain(f"winnings of market {condition_id}", BAD))
    for sentence in settled.unsettled:
        rows.add_row("UNSETTLED", plain(sentence, BAD))
    for condition_id in settled.stuck:
        rows.add_row("NOT REDEEMED", plain(f"market {condition_id}", BAD))
    if settled.not_noted:
        text = f"{settled.not_noted} claims won, and nobody asks for it: no room for the note"
        rows.add_row("NOT NOTED", plain(text, BAD))
    return rows


def findings_view(findings: Sequence[Finding]) -> Text:
    """`executor doctor`: a line for each check."""
    style = {Level.OK: GOOD, Level.WARN: CARE, Level.FAIL: BAD}
    width = max((len(each.what) for each in findings), default=0)
    lines = []
    for each in findings:
        text = f"{each.text} -> {each.do}" if each.do else each.text
        level = plain(f"{each.level.value:<4}", style[each.level])
        lines.append(Text.assemble(level, "  ", plain(f"{each.what:<{width}}  {text}")))
    return Text("\n").join(lines)


def plain(text: str, style: str = "") -> Text:
    """Text as it is, without what is not printable, and of a URL only scheme, host and port."""
    return Text("".join(each if each.isprintable() else " " for each in origins(text)), style)


def usd(amount_e6: int) -> str:
    """Money, to at least the cent."""
    text = f"{usd_decimal(amount_e6):f}".rstrip("0")
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction:0<2}"


def duration(span_ms: int) -> str:
    """A span of time in its two largest units: "4 s", "2 min 5 s", "3 h 20 min"."""
    seconds = abs(span_ms) // 1000
    minutes, hours, days = seconds // 60, seconds // 3_600, seconds // 86_400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def moment(at_ms: int) -> str:
    """A moment of UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def facts_table() -> Table:
    """Names and values below each other."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def columns_table(*columns: str) -> Table:
    """Rows below named columns."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in _FOLDED)
    return table


def _pause(status: Status) -> Text:
    if not status.pause_until_ms:
        return plain("no")
    until = moment(status.pause_until_ms)
    return plain(f"until {until} UTC: {status.pause_reason}", CARE)


def _configuration(status: Status) -> Text:
    if not status.config_version:
        return plain("none yet: the first worker makes it", CARE)
    return plain(f"version {status.config_version}")


def _slots(status: Status) -> Text:
    text = f"{status.slots_used} of {status.slots} used"
    if status.ended:
        text += f", {status.ended} of them by claims that are not filed yet"
    return plain(text, CARE if status.slots_used >= status.slots else "")


def _entries(status: Status) -> Text:
    most, limit = status.entries_max_in_a_market, status.max_entries_per_market
    text = f"{status.entries} in running windows, at most {most} in one"
    if limit is None:
        return plain(text)
    return plain(f"{text}, limit {limit}", CARE if most >= limit else "")


def _profit(status: Status) -> Text:
    reached = status.pnl_e6 <= -status.daily_loss_limit_e6
    text = f"{usd(status.pnl_e6)} USD, limit -{usd(status.daily_loss_limit_e6)} ({status.day}, UTC)"
    return plain(text + (": no more entries today" if reached else ""), BAD if reached else "")


def _spending(status: Status) -> Text:
    reached = status.spent_e6 >= status.daily_spend_cap_e6
    text = f"{usd(status.spent_e6)} USD, cap {usd(status.daily_spend_cap_e6)}"
    return plain(text + (": no more entries today" if reached else ""), BAD if reached else "")


def _redemptions(status: Status) -> Text:
    text = str(status.redemptions_waiting)
    if status.redemptions_stuck:
        text += f"; NOT REDEEMED: {status.redemptions_stuck}, asked for in vain"
    return plain(text, BAD if status.redemptions_stuck else "")


def _oldest(status: Status) -> Text:
    if status.oldest_unresolved_ms is None and not status.overdue:
        return plain("none")
    age = status.oldest_unresolved_ms
    text = "none" if age is None else duration(age)
    if status.overdue:
        text += f"; OVERDUE claims: {status.overdue}, see `executor positions`"
    return plain(text, BAD if status.overdue else "")


def _live_table(positions: tuple[Position, ...]) -> Table:
    table = columns_table(
        *("market", "outcome", "state", "entry", "reserved", "spent", "shares", "price"),
        *("age", "closes in", "order"),
    )
    for each in positions:
        closes = duration(each.to_close_ms)
        table.add_row(
            plain(each.market),
            plain(each.outcome),
            plain(each.state, "" if each.state == "open" else CARE),
            f"{each.entry} of {each.entries}",
            usd(each.reserved_e6),
            usd(each.spent_e6),
            f"{size_decimal(each.size_e6).normalize():f}",
            "-" if each.price_e4 is None else f"{price_decimal(each.price_e4):f}",
            duration(each.age_ms),
            closes if each.to_close_ms > 0 else f"closed {closes} ago",
            plain(each.order_id),
        )
    return table


def _ended_table(ended: tuple[Ended, ...]) -> Table:
    table = columns_table(
        "claimed at", "market", "outcome", "ended", "spent", "fee", "paid", "P&L", "order"
    )
    for each in ended:
        table.add_row(
            moment(each.claimed_at_ms),
            plain(each.market),
            plain(each.outcome),
            plain(each.state),
            usd(each.spent_e6),
            usd(each.fee_e6),
            usd(each.payout_e6),
            plain(usd(each.pnl_e6), GOOD if each.pnl_e6 > 0 else ""),
            plain(each.order_id),
        )
    total = sum(each.pnl_e6 for each in ended)
    table.add_row("all", "", "", "", "", "", "", Text(usd(total), "bold"), "")
    return table


def _decision_row(each: LoggedDecision) -> tuple[RenderableType, ...]:
    executed = each.result == "executed"
    result = f"{each.result}: {each.reason}"
    if each.repeats:
        result += f" (and {each.repeats} times before)"
    bought = f"{usd(each.spent_e6)} USD" if each.size_e6 else ""
    stages = "  ".join(f"{name} {took / 1000:.1f}" for name, took in each.stages_us.items())
    return (
        moment(each.at_ms),
        plain(each.market),
        plain(each.outcome),
        plain(result, GOOD if executed else "dim"),
        str(each.config_version or ""),
        f"{price_decimal(each.signal_price_e4):f}",
        bought,
        plain(each.text),
        stages,
    )
