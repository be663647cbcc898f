"""The state of a run on a terminal, and as plain lines where there is none."""

from __future__ import annotations

import time
from typing import Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from protocol.decision import Decision
from protocol.market import DOWN, UP
from sandbox.run.run_state import RunState

DECISIONS_SHOWN = 10
POSITIONS_SHOWN = 12
_POSITION: Final = ("market", "outcome", "shares", "paid", "fee", "worth", "P&L after fees")
_LEFT: Final = ("account", "market", "outcome")


def screen(state: RunState, title: str, seconds_left: float) -> RenderableType:
    """The live view."""
    head = Text.assemble(
        (title, "bold"),
        f"   {seconds_left:4.0f} s left   {state.books_per_s():6.1f} books/s   "
        f"{state.book_count} books   {len(state.executed)} orders",
    )
    alarms = Text(alarm_line(state), "bold red" if any(state.alarms.values()) else "dim")
    return Group(
        head,
        Panel(_books(state), title="books", title_align="left"),
        Panel(_decisions(state), title="last decisions", title_align="left"),
        Panel(
            Group(positions_table(state), state.states(), alarms),
            title="positions",
            title_align="left",
        ),
        Panel(
            Group(stages(state), deviation_line(state)),
            title="latency of executed orders, ms",
            title_align="left",
        ),
    )


def _books(state: RunState) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("market", "closes in", "Up bid", "Up ask", "Down bid", "Down ask", "imbalance"):
        table.add_column(column, justify="left" if column == "market" else "right")
    now_ms = time.time_ns() // 1_000_000
    for snapshot in state.current_books(now_ms):
        up, down = snapshot.book_of(UP), snapshot.book_of(DOWN)
        imbalance = up.imbalance(5)
        strong = imbalance is not None and abs(imbalance) >= 0.5
        table.add_row(
            snapshot.market.slug,
            f"{(snapshot.market.end_ms - now_ms) / 1000:.0f} s",
            *(_price(p) for p in (up.best_bid_e4, up.best_ask_e4)),
            *(_price(p) for p in (down.best_bid_e4, down.best_ask_e4)),
            Text("-" if imbalance is None else f"{imbalance:+.2f}", "bold" if strong else ""),
        )
    return table


def _decisions(state: RunState) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for decision in list(state.decisions)[-DECISIONS_SHOWN:]:
        table.add_row(
            Text(
                decision_line(decision, state), "green" if decision.result == "executed" else "dim"
            )
        )
    return table


def positions_table(state: RunState) -> Table:
    """The newest positions, and what all come to: each account's, where there are several."""
    positions = state.positions()
    table = Table(box=None, pad_edge=False)
    whose = ("account",) if state.several else ()
    for column in (*whose, *_POSITION):
        table.add_column(column, justify="left" if column in _LEFT else "right")
    for position in positions[-POSITIONS_SHOWN:]:
        table.add_row(
            *((position.account,) if state.several else ()),
            position.slug + (" (settled)" if position.settled else ""),
            position.outcome,
            f"{position.size:.4f}",
            f"{position.spend:.4f}",
            f"{position.fee:.4f}",
            _usd(position.value),
            _usd(position.profit),
        )
    if positions:
        profits, blank = state.profits(), [""] * (len(_POSITION) - 2)
        if state.several:
            for account, profit in profits.items():
                table.add_row(account, "all", *blank, Text(_usd(profit), "bold"))
        total = Text(_usd(sum(profits.values())), "bold")
        table.add_row("all", *([""] if state.several else []), *blank, total)
    return table


def alarm_line(state: RunState) -> str:
    """What the scheduled functions alarm about."""
    return "alarms: " + (", ".join(f"{n} {what}" for what, n in state.alarms.items()) or "?")


def deviation_line(state: RunState) -> str:
    """What was paid against the price that the signal saw."""
    paid = state.deviations()
    if not paid:
        return "nothing filled yet"
    return f"paid {sum(paid) / len(paid):+.2%} against the signal's price, {max(paid):+.2%} at most"


def stages(state: RunState) -> Table:
    """p50, p99 and max of each stage."""
    table = Table(box=None, pad_edge=False)
    measured = state.stage_ms()
    table.add_column("")
    for name in measured:
        table.add_column(name, justify="right")
    for row, label in enumerate(("p50", "p99", "max")):
        table.add_row(label, *(f"{figures[row]:.2f}" for figures in measured.values()))
    return table


def decision_line(decision: Decision, state: RunState) -> str:
    """One decision on one line; with its account, where there are several."""
    whose = f"{decision.strategy}: " if state.several else ""
    numbers = " ".join(f"{name} {number:+.2f}" for name, number in decision.numbers.items())
    line = (
        f"{whose}{decision.slug} {decision.outcome:4} {numbers} "
        f"ask {decision.signal_price_e4 / 1e4:.4g}: {decision.result} ({decision.reason})"
    )
    if decision.filled_size_e6:
        shares, usd = decision.filled_size_e6 / 1e6, decision.filled_spend_e6 / 1e6
        line += f" {shares:.4f} shares for {usd:.4f} USD"
    if decision.repeats:
        line += f" [{decision.repeats} repeats before]"
    return line


def status_line(state: RunState, seconds_left: float) -> str:
    """The state of things on one line."""
    positions = state.positions()
    profits = state.profits()
    of_each = "".join(f", {account} {usd:+.4f}" for account, usd in profits.items())
    tick_to_post = state.stage_ms().get("tick to POST")
    latency = (
        f"tick to POST p50 {tick_to_post[0]:.1f} ms p99 {tick_to_post[1]:.1f} ms"
        if tick_to_post
        else "no order yet"
    )
    return (
        f"{seconds_left:.0f} s left: {state.books_per_s():.0f} books/s, "
        f"{len(state.executed)} orders, {len(positions)} positions ({state.states()}), "
        f"P&L after fees {sum(profits.values()):+.4f} USD ({state.settled_pnl():+.4f} settled"
        f"{of_each if state.several else ''}), {latency}, "
        f"{deviation_line(state)}; "
        f"{alarm_line(state)}"
    )


def _price(price_e4: int | None) -> str:
    return "-" if price_e4 is None else f"{price_e4 / 1e4:.4g}"


def _usd(amount: float | None) -> str:
    return "-" if amount is None else f"{amount:+.4f}"
