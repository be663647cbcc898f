"""What the rows of the ledger add up to: a day, a strategy, a series, and over time. Pure.

The ledger's rows are of claims that have ended. The day of a row is that of its settlement, UTC, as
in the account (`Claim.booked_at_ms`). So a day's sum is what the account says of that day, unless a
claim that was settled before was settled again on another day: the account then has only the
difference there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import msgspec

from functions.core.account import utc_day
from functions.core.claim import Claim

DAY_MS: Final = 86_400_000
BEFORE_FIRST_MS: Final = 60_000
ROWS_MAX: Final = 50_000
"""Of all accounts: some tens of megabytes."""
_SLUG: Final = re.compile(r"([a-z0-9]{2,10})-updown-(\d{1,5}[smh])-\d+")
_Key: TypeAlias = tuple[str, str]


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a claim that has ended."""

    account: str
    intent_id: str
    version: int
    claimed_at_ms: int
    booked_at_ms: int
    condition_id: str
    market: str
    """Its slug."""
    day: str
    """UTC, in which its P&L stands."""
    series: str
    size_e6: int
    spent_e6: int
    fee_e6: int
    payout_e6: int
    pnl_e6: int

    @classmethod
    def of(cls, account: str, claim: Claim) -> LedgerRow:
        """Of an ended claim."""
        return cls(
            account=account,
            intent_id=claim.intent_id,
            version=claim.version,
            claimed_at_ms=claim.claimed_at_ms,
            booked_at_ms=claim.booked_at_ms,
            condition_id=claim.condition_id,
            market=claim.slug,
            day=utc_day(claim.booked_at_ms),
            series=series_of(claim.slug),
            size_e6=claim.filled_size_e6,
            spent_e6=claim.filled_spend_e6,
            fee_e6=claim.fee_e6,
            payout_e6=claim.payout_e6,
            pnl_e6=claim.pnl_e6,
        )


class LedgerRows:
    """Rows of all accounts, each claim's newest version, of those booked in the last days."""

    def __init__(self) -> None:
        self._rows: dict[_Key, LedgerRow] = {}
        self.version = 0
        """Counts the changes."""
        self.left_out = 0
        """Old rows for which there was no room."""

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, account: str, claims: Iterable[Claim]) -> None:
        """Keep what is newer than what is there; claims that have not ended are passed over."""
        for claim in claims:
            key = account, claim.intent_id
            known = self._rows.get(key)
            if not claim.ended or (known is not None and known.version >= claim.version):
                continue
            self._rows[key] = LedgerRow.of(account, claim)
            self.version += 1
        if len(self) > ROWS_MAX:
            oldest = sorted(self._rows.items(), key=lambda each: each[1].booked_at_ms)
            for key, _ in oldest[: len(self) - ROWS_MAX]:
                del self._rows[key]
                self.left_out += 1

    def forget_before(self, at_ms: int) -> None:
        """Drop what was booked earlier."""
        old = [key for key, row in self._rows.items() if row.booked_at_ms < at_ms]
        for key in old:
            del self._rows[key]
        self.version += bool(old)

    def since(self, at_ms: int, account: str = "") -> list[LedgerRow]:
        """Those booked from then on, oldest first; of one account, or of all."""
        rows = [
            row
            for row in self._rows.values()
            if row.booked_at_ms >= at_ms and account in ("", row.account)
        ]
        return sorted(rows, key=lambda row: row.booked_at_ms)


class RealisedSum(msgspec.Struct, kw_only=True):
    """What some rows add up to."""

    name: str
    entries: int = 0
    """Claims that bought something."""
    empty: int = 0
    """Claims that ended with nothing bought."""
    won: int = 0
    """Of the entries, those whose P&L is above zero."""
    spent_e6: int = 0
    fee_e6: int = 0
    payout_e6: int = 0
    pnl_e6: int = 0

    def add(self, row: LedgerRow) -> None:
        """One more row."""
        bought = row.size_e6 > 0
        self.entries += bought
        self.empty += not bought
        self.won += row.pnl_e6 > 0
        self.spent_e6 += row.spent_e6
        self.fee_e6 += row.fee_e6
        self.payout_e6 += row.payout_e6
        self.pnl_e6 += row.pnl_e6


def sums_by(
    rows: Iterable[LedgerRow], name_of: Callable[[LedgerRow], str]
) -> dict[str, RealisedSum]:
    """By name, in order of the names."""
    sums: dict[str, RealisedSum] = {}
    for row in rows:
        name = name_of(row)
        if (one := sums.get(name)) is None:
            one = sums[name] = RealisedSum(name=name)
        one.add(row)
    return dict(sorted(sums.items()))


def series_of(slug: str) -> str:
    """`btc-15m` of a market `btc-updown-15m-1700000100`; what is named otherwise, by all but its
    last part."""
    found = _SLUG.fullmatch(slug)
    return f"{found[1]}-{found[2]}" if found else slug.rpartition("-")[0] or slug


def equity_of(
    rows: Iterable[LedgerRow], since_ms: int, until_ms: int
) -> list[tuple[float, float | None]]:
    """(epoch ms, USD that were won or lost until then): in steps, from zero to now. It begins where
    something was won or lost first, or at `since_ms`."""
    total_e6 = 0
    points: list[tuple[float, float | None]] = []
    for row in rows:
        if not row.pnl_e6:
            continue
        at_ms = row.booked_at_ms
        if not points:
            points.append((max(since_ms, at_ms - BEFORE_FIRST_MS), 0.0))
        if points[-1][0] < at_ms:
            points.append((at_ms, total_e6 / 1e6))
        total_e6 += row.pnl_e6
        points.append((at_ms, total_e6 / 1e6))
    if not points:
        return [(since_ms, 0.0), (until_ms, 0.0)]
    points.append((max(until_ms, points[-1][0]), total_e6 / 1e6))
    return points
