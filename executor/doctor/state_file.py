"""The store in a file of this machine: there, readable, with the accounts in it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from executor.doctor.finding import Finding, fail, ok, warn
from functions.adapters.sqlite.look import Looked, look_at
from functions.adapters.sqlite.place import RESERVE_BYTES
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
        looked = await asyncio.to_thread(look_at, file)
        async with unopened_stores(settings) as stores:
            found = [await _account(name, store) for name, store in stores.items()]
    except StoreError as error:
        return [fail(_WHAT, str(error), "see that STATE is right, and the disk is well")]
    return [ok(_WHAT, f"{file} answers"), _whole(looked), _durable(settings), _room(looked), *found]


def _whole(looked: Looked) -> Finding:
    what = "store's file"
    size = f"{looked.contents.size_bytes / 1e6:.1f} MB"
    if not looked.all_checked:
        return ok(what, f"{size}, whole as far as it was looked at; executor backup looks at all")
    return ok(what, f"{size}, whole")


def _durable(settings: AccountSettings) -> Finding:
    what = "store's writes"
    if settings.live:
        return ok(what, "survive a power cut, as is right where a live account is served")
    return ok(
        what, "survive a killed process; a power cut may take the last ones of paper accounts"
    )


def _room(looked: Looked) -> Finding:
    what, free_mb = "store's disk", looked.free_bytes >> 20
    if looked.free_bytes < RESERVE_BYTES:
        text = f"{free_mb} MB are left: no claim is made below {RESERVE_BYTES >> 20} MB"
        return fail(what, text, "make room")
    return ok(what, f"{free_mb} MB are left")


async def _account(name: str, store: Store) -> Finding:
    try:
        account = await store.account()
    except StoreError as error:
        return warn(_ACCOUNT, str(error), "nothing, if it is new: the first start makes it")
    if account.trading != TRADING_ENABLED:
        return warn(_ACCOUNT, f"{name} is halted: {account.halt_reason}", "executor resume")
    return ok(_ACCOUNT, f"{name} is readable, trading is enabled")
