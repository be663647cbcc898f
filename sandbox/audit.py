"""The final check: what the venue saw, what the state holds and what the ledger says must agree.

What we know of an order is its *record*: the live claim in the account, or its row in the ledger
once it has ended. Live at the venue means: matched, less the trades that failed.

    every order posted has exactly one record, and was posted once
    a record of an order that was never posted has ended, with nothing bought
    shares, money and fee of a record  =  what is live at the venue, to the micro-unit (to two where
                                          the venue took one less than price times shares)
    no record is claimed, unknown, or ended and not filed; none is open long after its market ended
    P&L of a settled row  =  its shares x the venue's payout, less what it cost
    the account's P&L and spending of each day  =  what the records of that day add up to
    between two claims of one market lies its cooldown; what is live and resolved closes no market
    a window's entries  =  its records, less those that ended with nothing bought

On paper there is no venue: its journal must be empty, and the records are held against themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from functions.core.account import utc_day
from functions.core.claim import UNRESOLVED, Claim, ClaimState
from sandbox.audit_input import AuditInput, Resolved
from sandbox.simulator.journal import Entry

SETTLED_WITHIN_MS: Final = 30_000
"""After a market's end: two runs of settlement and one of reconciliation."""
_SHARE_E6: Final = 1_000_000


def disagreements(audit_input: AuditInput, *, execution: str, cooldown_ms: int) -> list[str]:
    """One sentence for each thing that does not agree; empty when all is well.

    `cooldown_ms` is what the workers were told.
    """
    records = records_of(audit_input)
    found = _claims(audit_input) + _settlements(records.values(), audit_input.resolved)
    found += _days(audit_input, records.values()) + _doubles(audit_input)
    found += _rhythm(records.values(), cooldown_ms) + _windows(audit_input, records.values())
    if execution == "paper":
        return found + [f"paper order {e.order_id} reached the venue" for e in audit_input.entries]
    posted = {entry.order_id: entry for entry in audit_input.entries if entry.order_id}
    times = Counter(entry.order_id for entry in audit_input.entries)
    found += [f"order {o} was posted {n} times" for o, n in times.items() if n > 1]
    found += [f"order {o} was posted, nothing records it" for o in posted.keys() - records.keys()]
    for order_id, record in records.items():
        entry = posted.get(order_id)
        found += _never_posted(record) if entry is None else _order(entry, record)
    return found


def reopened(audit_input: AuditInput) -> list[Claim]:
    """Records that late evidence brought back, whatever became of them then."""
    return [record for record in records_of(audit_input).values() if record.came_back]


def records_of(audit_input: AuditInput) -> dict[str, Claim]:
    """What is known of each order: the newest version, in the account before the ledger."""
    records = {row.order_id: row for row in audit_input.ledger}
    for claim in audit_input.account.claims.values():
        row = records.get(claim.order_id)
        if row is None or claim.version >= row.version:
            records[claim.order_id] = claim
    return records


def unfinished(audit_input: AuditInput) -> list[Claim]:
    """Claims that time and evidence should still move: what convergence waits for."""
    return [
        claim
        for claim in audit_input.account.claims.values()
        if claim.state is not ClaimState.OPEN
        or claim.condition_id in audit_input.resolved
        or _moving(claim)
    ]


def summary(audit_input: AuditInput) -> str:
    """The counts that were compared."""
    verdicts = Counter(entry.verdict for entry in audit_input.entries)
    states = Counter(row.state.value for row in audit_input.ledger)
    held = audit_input.account.claims.values()
    pnl = sum(audit_input.account.pnl_e6.values()) / 1e6
    return (
        f"venue: {verdicts['matched']} orders matched, "
        f"{len(audit_input.entries) - verdicts['matched']} refused; "
        f"state: {len(held)} claims, {sum(c.filled_spend_e6 for c in held) / 1e6:.4f} USD in them; "
        f"ledger: {states['settled']} settled, {states['released']} released, "
        f"P&L of these after fees {pnl:+.4f} USD; {len(reopened(audit_input))} reopened"
    )


def _moving(claim: Claim) -> bool:
    return any(fill.standing == "provisional" for fill in claim.fills.values())


def _claims(audit_input: AuditInput) -> list[str]:
    """What must hold of the live claims by themselves."""
    found = []
    for slot, claim in audit_input.account.claims.items():
        what = f"claim of order {claim.order_id}"
        if slot != claim.slot:
            found.append(f"{what} is in slot {slot}")
        if claim.state in UNRESOLVED:
            found.append(f"{what} is unresolved: {claim.state}")
        elif claim.ended:
            found.append(f"{what} has ended ({claim.state}) and is still in the account")
        if claim.state not in UNRESOLVED and slot == claim.condition_id:
            found.append(f"{what} is resolved and closes its market")
        resolved = audit_input.resolved.get(claim.condition_id)
        if resolved is not None and audit_input.at_ms - resolved.end_ms > SETTLED_WITHIN_MS:
            found.append(f"{what} is live, its market has been resolved for long")
    return found + [
        f"row of order {row.order_id} has not ended: {row.state}"
        for row in audit_input.ledger
        if not row.ended
    ]


def _doubles(audit_input: AuditInput) -> list[str]:
    """Orders with more than one record: only a reopened claim has a row, an older one."""
    found = []
    rows = Counter(row.order_id for row in audit_input.ledger)
    found += [f"order {o} has {n} rows in the ledger" for o, n in rows.items() if n > 1]
    by_order = {row.order_id: row for row in audit_input.ledger}
    live = Counter(claim.order_id for claim in audit_input.account.claims.values())
    found += [f"order {o} has {n} claims" for o, n in live.items() if n > 1]
    for claim in audit_input.account.claims.values():
        row = by_order.get(claim.order_id)
        if row is not None and not (claim.came_back and row.version < claim.version):
            found.append(f"order {claim.order_id} is live and in the ledger")
    return found


def _never_posted(record: Claim) -> list[str]:
    if record.state is ClaimState.RELEASED and not record.filled_size_e6:
        return []
    return [f"order {record.order_id} is {record.state}, the venue never got it"]


def _order(entry: Entry, record: Claim) -> list[str]:
    """What must hold of an order that the venue got."""
    order, found = entry.order_id, []
    if entry.verdict in ("received", "pending"):
        found.append(f"order {order} is still {entry.verdict} at the venue")
    ours = (record.filled_size_e6, record.filled_spend_e6, record.fee_e6)
    live = (entry.live_size_e6, entry.live_spend_e6, entry.live_fee_e6)
    for what, mine, theirs in zip(("shares", "money", "fee"), ours, live, strict=True):
        # What a trade cost is known to the unit only: the answer that said better may be lost.
        a_unit = what == "money" and "unit_short" in entry.faults and abs(mine - theirs) == 1
        estimated = what == "fee" and _fee_is_estimated(record, theirs)
        if mine != theirs and not (a_unit or estimated):
            found.append(
                f"order {order}: {mine}e-6 {what} in its record ({record.state}), "
                f"{theirs}e-6 live at the venue"
            )
    if entry.live_size_e6 and record.state is ClaimState.RELEASED:
        found.append(f"order {order} is released, and live at the venue")
    if (entry.condition_id, entry.token_id) != (record.condition_id, record.token_id):
        found.append(f"order {order} bought another token than was claimed")
    if any(fill.price_e4 > record.max_price_e4 for fill in entry.fills):
        found.append(f"order {order} paid more than its claim allows")
    if entry.received_at_ns < record.claimed_at_ms * 1_000_000:
        found.append(f"order {order} was posted before it was claimed")
    return found


def _fee_is_estimated(record: Claim, fee_e6: int) -> bool:
    """Until its trades are known, a fee is computed at the average price: close, never exact."""
    return not record.fills and abs(record.fee_e6 - fee_e6) <= fee_e6 // 50 + 10


def _rhythm(records: Iterable[Claim], cooldown_ms: int) -> list[str]:
    """A market is entered again only when its cooldown is over."""
    found, entered_ms = [], dict[str, int]()
    for record in sorted(records, key=lambda record: record.claimed_at_ms):
        before_ms = entered_ms.get(record.condition_id)
        if before_ms is not None and record.claimed_at_ms - before_ms < cooldown_ms:
            after_ms = record.claimed_at_ms - before_ms
            what = f"order {record.order_id} was claimed"
            found.append(f"{what} {after_ms} ms after the last one of its market")
        entered_ms[record.condition_id] = record.claimed_at_ms
    return found


def _windows(audit_input: AuditInput, records: Iterable[Claim]) -> list[str]:
    """After its end a window's count may stand still for a while, until it is pruned."""
    made = Counter(record.window for record in records if record.state is not ClaimState.RELEASED)
    kept = audit_input.account.entries
    lasting = f"{audit_input.at_ms:015d}"
    return [
        f"window {window} has {kept.get(window, 0)} entries, {made[window]} by its records"
        for window in sorted(made.keys() | kept.keys())
        if window.partition("#")[0] > lasting and kept.get(window, 0) != made[window]
    ]


def _settlements(records: Iterable[Claim], resolved: dict[str, Resolved]) -> list[str]:
    found = []
    for record in records:
        market = resolved.get(record.condition_id)
        if record.state is not ClaimState.SETTLED:
            if record.ended and record.pnl_e6:
                found.append(f"order {record.order_id} is {record.state}, with a P&L")
            continue
        if market is None:
            found.append(f"order {record.order_id} is settled, its market is not resolved")
            continue
        payout_e6 = record.filled_size_e6 * market.payouts_e6[record.token_id] // _SHARE_E6
        pnl_e6 = payout_e6 - record.filled_spend_e6 - record.fee_e6
        if record.pnl_e6 != pnl_e6:
            found.append(
                f"order {record.order_id}: P&L of {record.pnl_e6}e-6 USD in its row, "
                f"{pnl_e6}e-6 by the venue's payout"
            )
    return found


def _days(audit_input: AuditInput, records: Iterable[Claim]) -> list[str]:
    """The account's daily sums. What is settled again after midnight is booked on both days."""
    pnl, spent = Counter[str](), Counter[str]()
    for record in records:
        pnl[utc_day(record.booked_at_ms)] += record.pnl_e6
        spent[utc_day(record.claimed_at_ms)] += record.reserved_e6
    account = audit_input.account
    return [
        f"{what} of {day}: {kept.get(day, 0)}e-6 USD in the account, {sums[day]}e-6 in its records"
        for what, kept, sums in (
            ("P&L", account.pnl_e6, pnl),
            ("spending", account.spent_e6, spent),
        )
        for day in sorted(sums.keys() | kept.keys())
        if kept.get(day, 0) != sums[day]
    ]
