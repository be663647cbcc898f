"""What is told of what has ended: each quarter of an hour in which something was settled, and each
UTC day. Pure; of the ledger, so that a summary is the same whoever makes it, and when.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from executor.alerts.alert import Alert, SeenAccount, SeenNow, usd
from functions.core.account import TRADING_ENABLED, utc_day
from functions.core.claim import Claim, ClaimState

QUARTER_MS: Final = 900_000
GRACE_MS: Final = 60_000
"""A row of the ledger may come so much later than its settlement."""
DAY_MS: Final = 86_400_000
TOLD_FOR_MS: Final = 6 * 3_600_000
"""A summary that is older is not told any more; of a day, so long after its end."""


def summaries(seen: SeenNow) -> list[Alert]:
    """Those of the quarters and of the day that have just ended."""
    settled = [each for one in seen.accounts for each in _quarters(one, seen)]
    return settled + list(_digest(seen))


def _all_of(one: SeenAccount) -> list[Claim]:
    """Claims of the ledger and of the account, each once: one that has ended may be in both."""
    live = () if one.account is None else one.account.claims.values()
    newest: dict[str, Claim] = {}
    for claim in (*one.ended, *live):
        known = newest.get(claim.intent_id)
        if known is None or claim.version >= known.version:
            newest[claim.intent_id] = claim
    return list(newest.values())


def _quarters(one: SeenAccount, seen: SeenNow) -> Iterator[Alert]:
    by_quarter: dict[int, list[Claim]] = {}
    for claim in _all_of(one):
        if claim.state is ClaimState.SETTLED:
            begin_ms = claim.settled_at_ms - claim.settled_at_ms % QUARTER_MS
            by_quarter.setdefault(begin_ms, []).append(claim)
    for begin_ms, claims in sorted(by_quarter.items()):
        over_ms = seen.at_ms - begin_ms - QUARTER_MS - GRACE_MS
        if over_ms < 0 or over_ms > TOLD_FOR_MS or begin_ms + QUARTER_MS < seen.since_ms:
            continue
        markets = {claim.slug for claim in claims}
        what = next(iter(markets)) if len(markets) == 1 else f"{len(markets)} markets"
        yield Alert(
            key=f"settled|{one.name}|{begin_ms}",
            scope=one.name,
            level="information",
            text=f"SETTLED: {one.execution.upper()} {one.name}: {what}, "
            f"{_pnl(claims)} ({_clock(begin_ms)} to {_clock(begin_ms + QUARTER_MS)} UTC)\n"
            f"{_counted(claims)}",
        )


def _digest(seen: SeenNow) -> Iterator[Alert]:
    """One message for all accounts: of the day before, once every account can be read."""
    today_ms = seen.at_ms - seen.at_ms % DAY_MS
    over_ms = seen.at_ms - today_ms
    unread = any(one.account is None for one in seen.accounts)
    if not GRACE_MS <= over_ms <= TOLD_FOR_MS or seen.since_ms >= today_ms or unread:
        return
    day = utc_day(today_ms - 1)
    lines = [_day_of(one, day) for one in seen.accounts]
    told = Counter(key.partition("|")[0] for key, at_ms in seen.told_keys if utc_day(at_ms) == day)
    alarms = ", ".join(f"{count} {kind}" for kind, count in sorted(told.items())) or "none"
    yield Alert(
        key=f"digest|{day}",
        scope="digest",
        level="information",
        text="\n".join([f"DAY {day} (UTC)", *lines, f"alarms: {alarms}"]),
    )


def _day_of(one: SeenAccount, day: str) -> str:
    account = one.account
    if account is None:
        return f"{one.name}: not readable"
    made = [claim for claim in _all_of(one) if utc_day(claim.claimed_at_ms) == day]
    bought = sum(claim.filled_size_e6 > 0 for claim in made)
    halted = "" if account.trading == TRADING_ENABLED else ", HALTED"
    return (
        f"{one.execution.upper()} {one.name}: {usd(account.pnl_e6.get(day, 0))}, "
        f"{account.spent_e6.get(day, 0) / 1e6:.2f} USD spent, {len(made)} orders, "
        f"{bought} bought{halted}"
    )


def _pnl(claims: Iterable[Claim]) -> str:
    return usd(sum(claim.pnl_e6 for claim in claims))


def _counted(claims: list[Claim]) -> str:
    won = sum(claim.pnl_e6 > 0 for claim in claims)
    return f"{len(claims)} positions, {won} won, {len(claims) - won} lost"


def _clock(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M")
