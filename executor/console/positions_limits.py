"""How far the limits of accounts and of groups are used."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec
from markupsafe import Markup

from executor.console.accounts import AccountsNow
from executor.console.audience import Audience
from executor.console.charts.bars import share_bar
from executor.console.formats import clock, signed_usd, usd
from functions.core.account_status import Status
from functions.core.collective import CollectiveLimits, CollectiveState
from functions.core.collective_configuration import collective_limits_of
from functions.core.configuration import ConfigurationError
from functions.ports import GroupStore, Store, StoreError
from runtime.addresses import origins
from runtime.output import one_line

READ_EVERY_S: Final = 3.0
READ_TIMEOUT_S: Final = 10.0
NEAR: Final = 0.8
"""From this share of a limit on it is said to be near."""


class LimitShown(msgspec.Struct, frozen=True, kw_only=True):
    """One limit, and how much of it is used."""

    name: str
    text: str
    share: float | None
    """Of the limit, from 0; None: there is no limit, or it is no amount."""
    alarm: bool = False
    """It is reached: nothing more is bought."""

    @property
    def bar(self) -> Markup:
        """How much of it is used, as a picture."""
        share = self.share or 0.0
        kind = "bad" if self.alarm else "care" if share >= NEAR else "good"
        return share_bar(share, kind)


def limits_of(status: Status) -> list[LimitShown]:
    """Of an account, from what `executor status` prints."""
    loss_e6 = max(0, -status.pnl_e6)
    most = status.entries_max_in_a_market
    limits = [
        LimitShown(
            name="Positions",
            text=f"{status.slots_used} of {status.slots}",
            share=status.slots_used / status.slots,
            alarm=status.slots_used >= status.slots,
        ),
        LimitShown(
            name="P&L today",
            text=f"{signed_usd(status.pnl_e6)} USD, limit -{usd(status.daily_loss_limit_e6)}",
            share=loss_e6 / status.daily_loss_limit_e6,
            alarm=loss_e6 >= status.daily_loss_limit_e6,
        ),
        LimitShown(
            name="Spent today",
            text=f"{usd(status.spent_e6)} USD, cap {usd(status.daily_spend_cap_e6)}",
            share=status.spent_e6 / status.daily_spend_cap_e6,
            alarm=status.spent_e6 >= status.daily_spend_cap_e6,
        ),
    ]
    entries = f"{status.entries} in running windows, at most {most} in one"
    if status.max_entries_per_market is None:
        limits.append(LimitShown(name="Entries", text=f"{entries}; no limit", share=None))
    else:
        limits.append(
            LimitShown(
                name="Entries",
                text=f"{entries} of {status.max_entries_per_market}",
                share=most / status.max_entries_per_market,
                alarm=most >= status.max_entries_per_market,
            )
        )
    paused = bool(status.pause_until_ms)
    pause = f"until {clock(status.pause_until_ms)}: {status.pause_reason}" if paused else "no"
    limits.append(LimitShown(name="Paused", text=pause, share=None, alarm=paused))
    cooling = f"{status.cooldowns} markets"
    limits.append(LimitShown(name="Cooling down", text=cooling, share=None))
    return limits


class GroupUse(msgspec.Struct, frozen=True, kw_only=True):
    """A group of accounts as it was read last."""

    name: str
    state: CollectiveState | None = None
    limits: CollectiveLimits | None = None
    problem: str = ""


def limits_of_group(group: GroupUse, today: str) -> list[LimitShown]:
    """Of all accounts of the group together."""
    if group.state is None:
        return []
    loss_max_e6 = None if group.limits is None else group.limits.daily_loss_limit_e6
    exposure_max_e6 = None if group.limits is None else group.limits.exposure_max_e6
    pnl_e6, exposure_e6 = group.state.pnl_e6.get(today, 0), group.state.exposure_e6
    loss_e6 = max(0, -pnl_e6)
    return [
        LimitShown(
            name="P&L today, of all",
            text=f"{signed_usd(pnl_e6)} USD, "
            + ("no limit" if loss_max_e6 is None else f"limit -{usd(loss_max_e6)}"),
            share=None if loss_max_e6 is None else loss_e6 / loss_max_e6,
            alarm=loss_max_e6 is not None and loss_e6 >= loss_max_e6,
        ),
        LimitShown(
            name="At stake, of all",
            text=f"{usd(exposure_e6)} USD, "
            + ("no limit" if exposure_max_e6 is None else f"at most {usd(exposure_max_e6)}"),
            share=None if exposure_max_e6 is None else exposure_e6 / exposure_max_e6,
            alarm=exposure_max_e6 is not None and exposure_e6 >= exposure_max_e6,
        ),
    ]


class GroupsReader:
    """`of`: by name, the groups in which accounts are counted."""

    def __init__(self, accounts: AccountsNow, stores: Mapping[str, Store]) -> None:
        self._accounts, self._stores = accounts, stores
        self.of: dict[str, GroupUse] = {}

    async def run(self, audience: Audience) -> None:
        """Read them again and again while somebody looks, until cancelled."""
        while True:
            await audience.come()
            await self.read()
            await asyncio.sleep(READ_EVERY_S)

    async def read(self) -> None:
        """Once. Raises nothing."""
        named: dict[str, GroupStore] = {}
        for name, now in self._accounts.of.items():
            store = self._stores.get(name)
            if store is not None and now.account is not None and now.account.collective:
                named.setdefault(now.account.collective, store.group(now.account.collective))
        self.of = {name: await self._read(name, group) for name, group in named.items()}

    async def _read(self, name: str, group: GroupStore) -> GroupUse:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                state, row = await group.state(), await group.configuration()
            limits = None if row is None else collective_limits_of(row, name)
        except (StoreError, ConfigurationError, TimeoutError) as error:
            why = one_line(origins(str(error))) or f"no answer within {READ_TIMEOUT_S:g} s"
            before = self.of.get(name, GroupUse(name=name))
            return msgspec.structs.replace(before, problem=why)
        return GroupUse(name=name, state=state, limits=limits)
