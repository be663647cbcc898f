"""What an account wants before it takes a claim, number by number, for a person. Pure.

`functions.core.account.refusal_of` decides; a test holds this to it.
"""

from __future__ import annotations

from functions.core.account import TRADING_ENABLED, Account, ClaimRefusal, Limits
from functions.core.claim import Claim
from functions.core.gate_checks import NumberCheck
from protocol.units import usd_decimal


def account_checks(
    account: Account, claim: Claim, limits: Limits, now_ms: int, today: str
) -> dict[ClaimRefusal, NumberCheck]:
    """By the refusal that each of them is, in the order in which they are reported."""
    market = claim.condition_id
    pause_ms = account.pause.until_ms - now_ms
    cooldown_ms = account.cooldowns.get(market, 0) - now_ms
    entries, entries_max = account.entries.get(claim.window, 0), limits.max_entries_per_market
    positions, pnl_e6 = len(account.claims), account.pnl_e6.get(today, 0)
    spent_e6 = account.spent_e6.get(today, 0)
    room_e6 = limits.daily_spend_cap_e6 - claim.spend_e6
    halted = account.trading != TRADING_ENABLED
    return {
        ClaimRefusal.HALTED: NumberCheck(
            name="trading",
            value=_halted(account.halt_reason) if halted else "enabled",
            wanted="enabled",
            passed=not halted,
        ),
        ClaimRefusal.PAUSED: NumberCheck(
            name="pause",
            value=f"{account.pause.reason}, {_left(pause_ms)}" if pause_ms > 0 else "none",
            wanted="none",
            passed=pause_ms <= 0,
        ),
        ClaimRefusal.CONFIG_CHANGED: NumberCheck(
            name="configuration",
            value=f"version {limits.config_version}",
            wanted=f"version {account.config_version}",
            passed=account.config_version == limits.config_version,
        ),
        ClaimRefusal.MARKET_CLAIMED: NumberCheck(
            name="unresolved claim of this market",
            value="there is one" if market in account.claims else "none",
            wanted="none",
            passed=market not in account.claims,
        ),
        ClaimRefusal.COOLDOWN: NumberCheck(
            name="cooldown of this market",
            value=_left(cooldown_ms) if cooldown_ms > 0 else "over",
            wanted="over",
            passed=cooldown_ms <= 0,
        ),
        ClaimRefusal.MAX_ENTRIES: NumberCheck(
            name="entries in this market",
            value=f"{entries}" if entries_max is None else f"{entries} of {entries_max}",
            wanted="any" if entries_max is None else f"fewer than {entries_max}",
            passed=entries_max is None or entries < entries_max,
        ),
        ClaimRefusal.MAX_POSITIONS: NumberCheck(
            name="positions",
            value=f"{positions} of {limits.max_positions}",
            wanted=f"fewer than {limits.max_positions}",
            passed=positions < limits.max_positions,
        ),
        ClaimRefusal.DAILY_LOSS: NumberCheck(
            name="P&L of today",
            value=f"{usd_decimal(pnl_e6):+.2f} USD",
            wanted=f"above {_usd(-limits.daily_loss_limit_e6)} USD",
            passed=pnl_e6 > -limits.daily_loss_limit_e6,
        ),
        ClaimRefusal.DAILY_SPEND: NumberCheck(
            name="spent today",
            value=f"{_usd(spent_e6)} USD",
            wanted=f"at most {_usd(room_e6)} USD: an order takes {_usd(claim.spend_e6)}",
            passed=spent_e6 <= room_e6,
        ),
    }


def _halted(reason: str) -> str:
    return f"halted ({reason})" if reason else "halted"


def _left(span_ms: int) -> str:
    seconds = -(-span_ms // 1_000)
    return f"{seconds} s left" if seconds < 120 else f"{seconds // 60} min {seconds % 60} s left"


def _usd(amount_e6: int) -> str:
    """To at least the cent."""
    whole, _, fraction = f"{usd_decimal(amount_e6):f}".partition(".")
    return f"{whole}.{fraction.rstrip('0'):0<2}"
