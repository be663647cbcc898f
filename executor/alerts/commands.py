"""What a person's phone may ask for: the accounts as they are, and that they halt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from executor.alerts.alert import SeenAccount, usd
from executor.alerts.conditions import name_of
from executor.alerts.watched_accounts import WatchedAccounts
from functions.core.account import utc_day
from functions.core.account_status import Status, status_of
from functions.handlers import control
from functions.ports import Store, StoreError
from runtime.addresses import origins

TRIES: Final = 3
TRY_AGAIN_S: Final = 2.0
STORES_S: Final = 20.0
ACTIVE_MAX: Final = 10


class PhoneCommands:
    """Of all accounts that are served."""

    def __init__(
        self,
        accounts: WatchedAccounts,
        active: Callable[[], list[str]],
        now_ms: Callable[[], int],
    ) -> None:
        self._accounts = accounts
        self._active = active
        self._now_ms = now_ms

    def status(self) -> str:
        """A line an account, and the alarms that hold."""
        now_ms = self._now_ms()
        lines = [_line(one, now_ms) for one in self._accounts.seen(now_ms)]
        alarms = self._active()
        lines += [f"! {each}" for each in alarms[:ACTIVE_MAX]]
        if len(alarms) > ACTIVE_MAX:
            lines.append(f"! and {len(alarms) - ACTIVE_MAX} more")
        return "\n".join(lines)

    async def halt(self, reason: str) -> str:
        """Halt each account, three tries each; the answer says of each whether it is."""
        for _ in range(round(STORES_S)):
            if self._accounts.stores:
                break
            await asyncio.sleep(1)
        else:
            return "NOT HALTED: the state cannot be reached. At the machine: executor halt"
        stores = self._accounts.stores
        told = await asyncio.gather(*(_halted(each, reason) for each in stores.values()))
        lines = [
            f"NOT KNOWN whether {name} is halted: {why}" if why else f"HALTED: {name}"
            for name, why in zip(stores, told, strict=True)
        ]
        if any(told):
            lines.append("Send /halt again.")
        lines.append("Resume at the machine: executor resume")
        return "\n".join(lines)


async def _halted(store: Store, reason: str) -> str:
    """Why it is not known to be halted; empty: it is."""
    why = ""
    for number in range(TRIES):
        if number:
            await asyncio.sleep(TRY_AGAIN_S)
        try:
            await control.halt(store, reason)
            return ""
        except (StoreError, control.NotDoneError) as error:
            why = origins(" ".join(str(error).split()))[:200]
    return why


def _line(one: SeenAccount, now_ms: int) -> str:
    if one.account is None:
        return f"{name_of(one)}: NOT READABLE: {one.problem}"
    told = status_of(one.name, one.account, one.limits, now_ms, utc_day(now_ms))
    return f"{name_of(one)}: {_trading(told)}, {_numbers(told)}"


def _trading(told: Status) -> str:
    if not told.trading:
        return f"HALTED ({told.halt_reason or 'no reason'})"
    return f"paused ({told.pause_reason})" if told.pause_reason else "trading"


def _numbers(told: Status) -> str:
    unresolved = told.unknown + told.claimed
    return (
        f"today {usd(told.pnl_e6)}, spent {told.spent_e6 / 1e6:.2f} of "
        f"{told.daily_spend_cap_e6 / 1e6:.2f} USD, {told.open} open"
        + (f", {unresolved} unresolved" if unresolved else "")
    )
