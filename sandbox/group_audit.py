"""The final check of a run with several accounts: each for itself, and what shares a wallet.

of each account   venue = state = ledger (`sandbox.audit`)
of the wallet     what the records of all live accounts hold of a token  =  what the venue has
                  given their one wallet of it
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from functions.core.group import AccountEntry
from sandbox.audit import disagreements, records_of, reopened, summary
from sandbox.audit_input import AuditInput

Audits = Mapping[str, AuditInput]
"""By account (`sandbox.audit_input.gather_each`)."""


def group_disagreements(
    audits: Audits, accounts: Sequence[AccountEntry], *, cooldown_ms: int
) -> list[str]:
    """A sentence for each thing that does not agree, with the account where there are several."""
    found: list[str] = []
    for entry in accounts:
        said = disagreements(
            audits[entry.account], execution=entry.execution, cooldown_ms=cooldown_ms
        )
        found += [f"{_of(entry.account, audits)}{sentence}" for sentence in said]
    live = [audits[entry.account] for entry in accounts if entry.live]
    return found + (_wallet(live) if len(live) > 1 else [])


def group_summary(audits: Audits) -> Iterator[str]:
    """The counts that were compared, and what late evidence brought back; of each account."""
    for name, audit_input in audits.items():
        yield f"{_of(name, audits)}{summary(audit_input)}"
        for claim in reopened(audit_input):
            yield f"{_of(name, audits)}reopened by late evidence: order {claim.order_id}"


def nothing_at_stake(audits: Audits, accounts: Sequence[AccountEntry]) -> list[str]:
    """A sentence where no order of a live account was matched, on paper alone none of any account:
    such a run says nothing. One account among several may have none by chance: a paper order that
    waits for its book dies with its worker, and half a minute has few signals."""
    live = any(entry.live for entry in accounts)
    for entry in accounts:
        if entry.live == live and _bought(audits[entry.account], live=live):
            return []
    return ["no order was matched: there was nothing to lose"]


def _bought(audit_input: AuditInput, *, live: bool) -> bool:
    if live:
        return any(entry.verdict == "matched" for entry in audit_input.entries)
    return any(record.filled_size_e6 for record in records_of(audit_input).values())


def _wallet(live: Sequence[AuditInput]) -> list[str]:
    """An order of two accounts, or of none, shows here even if each account agrees with itself."""
    held, given = Counter[str](), Counter[str]()
    for audit_input in live:
        for record in records_of(audit_input).values():
            held[record.token_id] += record.filled_size_e6
        for entry in audit_input.entries:
            given[entry.token_id] += entry.live_size_e6
    return [
        f"token {token}: all live accounts together hold {held[token]}e-6 shares, "
        f"the venue gave their wallet {given[token]}e-6"
        for token in sorted(held.keys() | given.keys())
        if held[token] != given[token]
    ]


def _of(name: str, audits: Audits) -> str:
    return f"{name}: " if len(audits) > 1 else ""
