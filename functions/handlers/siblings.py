"""The other accounts that trade with one's wallet: read, never written.

Each account's claims are its own affair. But positions are the wallet's, winnings are paid out to
the wallet, and the venue tells the trades of all of them: whoever looks at those looks at the
siblings, too. One that cannot be read is said, and keeps nobody from what is its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from functions.core.account import Account
from functions.core.wallet import ALONE, Siblings
from functions.handlers.apply_evidence import ended_orders
from functions.ports import Store, StoreError
from protocol.fill import Fill

READ_AT_ONCE_MAX: Final = 8
SIBLINGS_SEARCHED_MS: Final = 3_600_000
"""How long before its trade a sibling's order may have been claimed: an order is matched at once,
and all that depends on it is whether the trade is called foreign."""


class Unclaimed(msgspec.Struct, frozen=True, kw_only=True):
    """Orders that no claim of one's own knows."""

    foreign: int = 0
    """No account of the wallet knows them."""
    untold: int = 0
    """Nobody can say whose they are: a sibling could not be read."""
    why: str = ""
    """The first that could not, and why."""


async def siblings_of(store: Store, wallet: str) -> Siblings:
    """The accounts beside the store's own that have joined the wallet, as they are now.

    What could not be read is said in the answer; raises no StoreError. Without a wallet (on paper)
    nobody is asked.
    """
    if not wallet:
        return ALONE
    try:
        names = await store.accounts_of_wallet(wallet)
    except StoreError as error:
        return Siblings(unread=(f"it is not known which accounts trade with {wallet}: {error}",))
    accounts: dict[str, Account] = {}
    unread: list[str] = []
    slots = asyncio.Semaphore(READ_AT_ONCE_MAX)

    async def read(name: str) -> None:
        async with slots:
            try:
                accounts[name] = await store.account_named(name).account()
            except StoreError as error:
                unread.append(f"{name}, which trades with the same wallet, cannot be read: {error}")

    await asyncio.gather(*(read(name) for name in names if name != store.account_name))
    return Siblings(accounts=accounts, unread=tuple(sorted(unread)))


async def whose(store: Store, wallet: str, unknown: Mapping[str, Sequence[Fill]]) -> Unclaimed:
    """Whether orders that the store's own account does not know are its siblings'.

    `unknown`: their trades, by order id in lower case. Raises no StoreError.
    """
    if not unknown:
        return Unclaimed()
    siblings = await siblings_of(store, wallet)
    unread = list(siblings.unread)
    left = dict(unknown)
    for account in siblings.accounts.values():
        _drop(left, (claim.order_id.lower() for claim in account.claims.values()))
    for name in siblings.accounts:  # a claim leaves its account only after its row is written
        if not left:
            break
        fills = [fill for group in left.values() for fill in group]
        failures: list[Exception] = []
        reads = store.account_named(name)
        _drop(left, await ended_orders(reads, fills, failures, SIBLINGS_SEARCHED_MS))
        unread += [f"{name}, which trades with the same wallet: {error}" for error in failures]
    if unread and left:
        return Unclaimed(untold=len(left), why=unread[0])
    return Unclaimed(foreign=len(left))


def _drop(orders: dict[str, Sequence[Fill]], known: Iterable[str]) -> None:
    for order_id in known:
        orders.pop(order_id, None)
