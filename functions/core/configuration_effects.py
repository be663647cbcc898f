"""What a change of the limits means for an account as it stands, before it is made. Pure.

Nothing that is held is sold, and no cooldown that runs is changed: limits bind the next claim.
"""

from __future__ import annotations

import msgspec

from functions.core.account import Account, Limits
from protocol.units import usd_decimal


class Effects(msgspec.Struct, frozen=True, kw_only=True):
    """Money in 1e-6 USD (`_e6`), times in epoch milliseconds."""

    positions: int
    """Live claims now."""
    positions_over: int
    """How many of these are more than the new maximum."""
    windows_full: int
    """Running windows that take no entry any more under the new limit."""
    spent_e6: int
    spend_room_e6: int
    """What is left of the day's cap; negative: so much more has been spent."""
    loss_reached: bool
    cooldowns: int
    """Those that run. They end when they end: a change counts for later ones."""
    cooldowns_until_ms: int
    """When the last of them ends, 0 without any."""
    cooldowns_shorter: int
    """How many of them would have ended by now, or sooner, under the new one."""
    sentences: tuple[str, ...]
    """The same in words, without what is as it was."""


def effects_of(
    account: Account, before: Limits, after: Limits, *, size_e6: int, now_ms: int, today: str
) -> Effects:
    """What `after` would mean in place of `before`, with orders of `size_e6`."""
    positions = len(account.claims)
    over = max(0, positions - after.max_positions)
    running = f"{now_ms:015d}"
    most = after.max_entries_per_market
    full = sum(
        most is not None and made >= most
        for window, made in account.entries.items()
        if window >= running
    )
    spent_e6 = account.spent_e6.get(today, 0)
    room_e6 = after.daily_spend_cap_e6 - spent_e6
    pnl_e6 = account.pnl_e6.get(today, 0)
    loss_reached = pnl_e6 <= -after.daily_loss_limit_e6
    cooldowns = [until for until in account.cooldowns.values() if until > now_ms]
    gained_ms = before.cooldown_ms - after.cooldown_ms
    shorter = len(cooldowns) if gained_ms > 0 else 0
    said = []
    if over:
        said.append(
            f"{positions} positions are held, {over} more than the new maximum of"
            f" {after.max_positions}: none is sold, and none is bought until"
            f" {over + 1} have ended"
        )
    elif after.max_positions != before.max_positions:
        left = after.max_positions - positions
        said.append(f"{positions} positions are held: room for {left} more")
    if full:
        said.append(f"{full} running windows have had their entries under the new limit")
    if room_e6 < size_e6:
        said.append(f"{_usd(spent_e6)} USD are spent today: no order has room until 00:00 UTC")
    elif after.daily_spend_cap_e6 != before.daily_spend_cap_e6:
        said.append(
            f"{_usd(spent_e6)} USD are spent today: room for"
            f" {_usd(room_e6)} USD more, {room_e6 // size_e6} orders"
        )
    if loss_reached:
        said.append(f"the P&L of today is {_usd(pnl_e6)} USD: no more entries today")
    if cooldowns and gained_ms:
        which = "shorter" if gained_ms > 0 else "longer"
        said.append(
            f"{len(cooldowns)} cooldowns run and end as they began, the last in"
            f" {(max(cooldowns) - now_ms) / 1000:.0f} s; later ones are {which}"
        )
    return Effects(
        positions=positions,
        positions_over=over,
        windows_full=full,
        spent_e6=spent_e6,
        spend_room_e6=room_e6,
        loss_reached=loss_reached,
        cooldowns=len(cooldowns),
        cooldowns_until_ms=max(cooldowns, default=0),
        cooldowns_shorter=shorter,
        sentences=tuple(said),
    )


def _usd(amount_e6: int) -> str:
    """To at least the cent."""
    whole, _, fraction = f"{usd_decimal(amount_e6):f}".partition(".")
    return f"{whole}.{fraction.rstrip('0'):0<2}"
