"""`executor explain`: one decision, from a recording or from the decision table, for a person.

Raises RecordingError, StoreError, NoSuchDecisionError, AmbiguousIdError.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table

from backtest.replay.answers import Strategies
from backtest.replay.explained import (
    MATCHES_MAX,
    BestLevels,
    Evidence,
    Explained,
    MarkoutLater,
    SeenBook,
    explain,
    explained,
    the_one,
)
from executor.progress import progress_bar
from executor.rendering import BAD, GOOD, columns_table, facts_table, moment, plain, usd
from functions.bootstrap import unopened_stores
from functions.core.account import utc_day
from functions.core.claim import Claim
from functions.core.configuration import ConfigurationRow, shown
from functions.ports import AccountReads, Store, StoreError, UnreadableRowsError
from functions.settings import AccountSettings
from protocol.decision import Decision, stages_ns
from protocol.snapshot import UNDECODABLE
from protocol.units import price_decimal, size_decimal

DAYS_KEPT: Final = 8
"""Rows of the decision table expire after a week."""
ROWS_MAX: Final = 10_000
"""Of a day and an account, the newest."""
_DAY_MS: Final = 86_400_000
_NO_BOOKS: Final = (
    "the decision table keeps no books: `executor record --books` does, and "
    "`--recording DIR` shows them"
)


def from_recording(recording: Path, prefix: str, strategies: Strategies) -> Explained:
    """See `backtest.replay.explained`."""
    with progress_bar() as tell:
        return explain(recording, prefix, strategies, lambda share: tell(share, "read"))


def state_is_named() -> bool:
    """Whether the environment says where accounts are stored."""
    return any(os.environ.get(name) for name in ("STATE", "STATE_TABLE"))


async def with_evidence(found: Explained, settings: AccountSettings) -> Explained:
    """The same, with what the account or the ledger has of the order by now."""
    if not found.decision.intent_id:
        return found
    try:
        async with unopened_stores(settings) as stores:
            reads = next(iter(stores.values())).account_named(found.decision.strategy)
            return with_claim(found, *await claim_of(reads, found.decision))
    except StoreError as error:
        return msgspec.structs.replace(found, evidence_note=f"as logged; {error}")


async def from_table(settings: AccountSettings, prefix: str) -> Explained:
    """The decision of the accounts of STRATEGIES whose id begins so, newest days first."""
    async with unopened_stores(settings) as stores:
        now_ms = time.time_ns() // 1_000_000
        found: dict[str, Decision] = {}
        for days in range(DAYS_KEPT):
            day = utc_day(now_ms - days * _DAY_MS)
            for store in stores.values():
                for each in await _readable(store, day):
                    if each.decision_id == prefix or (
                        each.decision_id.startswith(prefix) and len(found) < MATCHES_MAX
                    ):
                        found[each.decision_id] = each
            if found:
                break
        names = ", ".join(stores)
        nowhere = f"no decision of the last {DAYS_KEPT} days of {names} in the decision table"
        decision = the_one(found, prefix, nowhere)
        store = stores[decision.strategy]
        row = await configuration_of(store, decision.config_version)
        told = explained(decision, "decision table", row, None, _NO_BOOKS, Strategies(), None)
        if not decision.intent_id:
            return told
        return with_claim(told, *await claim_of(store, decision))


async def _readable(store: Store, day: str) -> Sequence[Decision]:
    try:
        return await store.decisions(day, ROWS_MAX)
    except UnreadableRowsError as error:
        return error.readable


async def configuration_of(store: Store, version: int) -> ConfigurationRow | None:
    """One version of an account, None where it is not known. Raises StoreError."""
    newest = await store.configuration()
    if newest is None or not 0 < version <= newest.version:
        return None
    try:
        rows = await store.configurations(newest.version - version + 1)
    except UnreadableRowsError as error:
        rows = error.readable
    return next((row for row in rows if row.version == version), None)


async def claim_of(reads: AccountReads, decision: Decision) -> tuple[Claim | None, str]:
    """The decision's claim as it is now, and where it stands: `account` or `ledger`. Raises
    StoreError."""
    account = await reads.account()
    for claim in account.claims.values():
        if claim.intent_id == decision.intent_id:
            return claim, "account"
    at_ms = decision.decided_at_ms
    try:
        ended = await reads.ledger(at_ms - _DAY_MS, at_ms + _DAY_MS)
    except UnreadableRowsError as error:
        ended = error.readable
    for claim in ended:
        if claim.intent_id == decision.intent_id:
            return claim, "ledger"
    return None, ""


def with_claim(found: Explained, claim: Claim | None, source: str) -> Explained:
    """The same, with what `claim_of` has found."""
    if claim is None:
        note = "as logged: neither the account nor the ledger has its claim"
        return msgspec.structs.replace(found, evidence_note=note)
    evidence = Evidence(
        source=source,
        state=claim.state.value,
        order_id=claim.order_id,
        spent_e6=claim.filled_spend_e6,
        size_e6=claim.filled_size_e6,
        fee_e6=claim.fee_e6,
        fills=[
            f"{trade}: {_shares(fill.size_e6)} at {_price(fill.price_e4)} ({fill.standing.value})"
            for trade, fill in claim.fills.items()
        ],
        payout_e6=claim.payout_e6 if source == "ledger" else None,
        pnl_e6=claim.pnl_e6 if source == "ledger" else None,
        text=claim.text,
    )
    found = msgspec.structs.replace(found, evidence=evidence)
    if claim.timeline is not None:  # it goes on after the decision was logged
        stages_ms = {
            name: round(took_ns / 1e6, 3) for name, took_ns in stages_ns(claim.timeline).items()
        }
        found = msgspec.structs.replace(found, stages_ms=found.stages_ms | stages_ms)
    return found


# -- shown -----------------------------------------------------------------------------------------


def explained_view(found: Explained) -> RenderableType:
    """For a terminal."""
    decision = found.decision
    facts = facts_table()
    facts.add_row("decision", plain(f"{decision.decision_id}, from {found.source}"))
    facts.add_row("account", plain(f"{decision.strategy} ({decision.worker})"))
    facts.add_row("market", plain(decision.slug))
    facts.add_row("decided", plain(f"{_ms_moment(decision.decided_at_ms)} UTC"))
    result = f"{decision.result}: {decision.reason}"
    if decision.repeats:
        result += f" (and {decision.repeats} times before)"
    facts.add_row("result", plain(result, GOOD if decision.result == "executed" else ""))
    if found.again:
        told = {"equal": "the same"}.get(found.again, found.again)
        facts.add_row("decided again", plain(told, GOOD if found.again == "equal" else BAD))
    for unlike in found.unlike:
        facts.add_row("", plain(f"{unlike.name}: logged {unlike.logged}, now {unlike.again}", BAD))
    parts: list[RenderableType] = [facts, ""]
    if found.book is not None:
        parts += [*_book(found.book), "", _gate(found)]
    else:
        parts.append(plain(f"no book: {found.why_no_book}"))
    parts += ["", _wish(found), "", _claim(found)]
    if found.markouts:
        parts += ["", *_markouts(found)]
    return Group(*parts)


def _book(book: SeenBook) -> Iterator[RenderableType]:
    line = (
        f"book {book.version}, received {_ms_moment(book.received_at_ms)}; "
        f"the strategy could look back on {book.memory_rows} books"
    )
    if book.memory_from_ms is not None:
        line += f" from {_ms_moment(book.memory_from_ms)}"
    yield plain(line)
    table = columns_table("", "bid", "shares", "ask", "shares")
    for ladder in book.ladders:
        for cells in _levels(ladder):
            table.add_row(*map(plain, cells))
    yield table


def _levels(ladder: BestLevels) -> Iterator[tuple[str, ...]]:
    for index in range(max(len(ladder.bids), len(ladder.asks), 1)):
        cells = [ladder.outcome if index == 0 else ""]
        for side in (ladder.bids, ladder.asks):
            known = index < len(side)
            cells += [_price(side[index][0]), _shares(side[index][1])] if known else ["", ""]
        yield tuple(cells)


def _gate(found: Explained) -> Table:
    table = columns_table("gate", "", "wanted", "")
    for each in found.gate:
        verdict = plain("passed", GOOD) if each.passed else plain("HELD", BAD)
        table.add_row(each.name, plain(each.value), plain(each.wanted), verdict)
    return table


def _wish(found: Explained) -> Table:
    decision, table = found.decision, facts_table()
    numbers = decision.numbers or {"imbalance": decision.imbalance}
    table.add_row("wants", plain(f"{decision.outcome}, token {decision.token_id}"))
    table.add_row("because", plain("  ".join(f"{name} {each:g}" for name, each in numbers.items())))
    version = f"version {decision.config_version}" if decision.config_version else "not known"
    table.add_row("configuration", plain(version))
    table.add_row("parameters", plain(_named_values(found.parameters)))
    table.add_row("settings", plain(_named_values(found.settings)))
    table.add_row("edge after costs", plain(f"{decision.edge_after_costs_ticks:+.2f} ticks"))
    ordered = (
        f"{usd(decision.spend_e6)} USD at most at {_price(decision.max_price_e4)}; "
        f"the ask was {_price(decision.signal_price_e4)}"
    )
    table.add_row("order", plain(ordered))
    return table


def _named_values(text: str) -> str:
    """A JSON object as a person reads it."""
    if not text:
        return "not known"
    try:
        named = msgspec.json.decode(text, type=dict[str, Any])
    except (*UNDECODABLE, ValueError):
        return text  # as it is stored: that it cannot be followed is said above
    return "  ".join(f"{name} {shown(value)}" for name, value in named.items())


def _claim(found: Explained) -> Table:
    table, evidence = facts_table(), found.evidence
    stages = "  ".join(f"{name} {took_ms:.2f}" for name, took_ms in found.stages_ms.items())
    table.add_row("stages, ms", plain(stages or "not known"))
    if evidence is None:
        table.add_row("claim", plain("none: nothing was ordered"))
        return table
    table.add_row("claim", plain(f"{evidence.state} (from the {evidence.source})"))
    if found.evidence_note:
        table.add_row("", plain(found.evidence_note))
    table.add_row("order id", plain(evidence.order_id))
    bought = f"{_shares(evidence.size_e6)} shares for {usd(evidence.spent_e6)} USD"
    table.add_row("bought", plain(f"{bought}, fee {usd(evidence.fee_e6)}"))
    for fill in evidence.fills:
        table.add_row("fill", plain(fill))
    if evidence.payout_e6 is not None and evidence.pnl_e6 is not None:
        paid = f"{usd(evidence.payout_e6)} USD, P&L {usd(evidence.pnl_e6)}"
        table.add_row("paid", plain(paid))
    if evidence.text:
        table.add_row("text", plain(evidence.text))
    return table


def _markouts(found: Explained) -> Iterator[RenderableType]:
    paid = "paid" if found.decision.filled_size_e6 else "which was not paid: the signal's ask"
    fee = "" if found.fee_ticks is None else f"; the fee is {found.fee_ticks:.2f} ticks"
    yield plain(f"later, less {found.price_e4 / 10_000:.4g} a share ({paid}){fee}")
    table = columns_table("after", "bid", "mid", "by the bid", "by the mid", "after the fee", "")
    table.columns[-1].no_wrap = False  # a sentence: numbers beside it must not be cut
    for each in found.markouts:
        after = "resolution" if each.after_s is None else f"{each.after_s} s"
        table.add_row(after, *map(plain, _markout_cells(each)), plain(each.why_not))
    yield table


def _markout_cells(each: MarkoutLater) -> tuple[str, ...]:
    ticks = [
        "-" if value is None else f"{value:+.2f}"
        for value in (each.by_bid_ticks, each.by_mid_ticks, each.after_fee_ticks)
    ]
    return (
        "-" if each.bid_e4 is None else _price(each.bid_e4),
        "-" if each.mid_e4 is None else f"{each.mid_e4 / 10_000:.4g}",
        *ticks,
    )


def _price(price_e4: int) -> str:
    return f"{price_decimal(price_e4):f}"


def _shares(size_e6: int) -> str:
    return f"{size_decimal(size_e6).normalize():f}"


def _ms_moment(at_ms: int) -> str:
    return f"{moment(at_ms)}.{at_ms % 1000:03d}"
