"""The store in a file of this machine: there, readable, with the accounts in it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from executor.doctor.finding import Finding, fail, ok, warn
from functions.bootstrap import unopened_stores
from functions.core.account import TRADING_ENABLED
from functions.ports import Store, StoreError
from functions.settings import AccountSettings

_WHAT: Final = "store"
_ACCOUNT: Final = "account"


async def check(settings: AccountSettings, file: Path) -> list[Finding]:
    """Of the file, and of each account that is served."""
    if not await asyncio.to_thread(file.exists):
        return [warn(_WHAT, f"{file}: not there yet", "nothing: the first start makes it")]
    try:
        async with unopened_stores(settings) as stores:
            found = [await _account(name, store) for name, store in stores.items()]
    except StoreError as error:
        return [fail(_WHAT, str(error), "see that STATE is right, and the disk is well")]
    return [ok(_WHAT, f"{file} answers"), *found]


async def _account(name: str, store: Store) -> Finding:
    try:
        account = await store.account()
    except StoreError as error:
        return warn(_ACCOUNT, str(error), "nothing, if it is new: the first start makes it")
    if account.trading != TRADING_ENABLED:
        return warn(_ACCOUNT, f"{name} is halted: {account.halt_reason}", "executor resume")
    return ok(_ACCOUNT, f"{name} is readable, trading is enabled")
