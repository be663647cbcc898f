"""What every store promises about wallets: who trades with one, and how others are looked at.

Part of `store_contract`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from functions.ports import Store, StoreError
from tests.support.store_entries_contract import RELEASED_ROW, other, taken
from tests.support.trading_builders import MADE_AT_MS, STRANGER, TRADER, a_claim

StoreNamed = Callable[[str], Store]
"""Another account's store, in the table of the fixture `store`."""


class WalletsContract:
    """Of `store_contract.StoreContract`; wants the fixture `store_named`, too."""

    async def test_a_wallet_that_nobody_has_joined_has_no_accounts(self, store: Store) -> None:
        await store.open_account()
        assert await store.accounts_of_wallet(TRADER.wallet) == []

    async def test_all_that_join_are_there_once_and_opening_alone_joins_nothing(
        self, store: Store, store_named: StoreNamed
    ) -> None:
        others = [store_named(name) for name in ("zebra", "a-b_c.d", "paper-looking")]
        for each in (store, *others):
            await each.open_account()
        await asyncio.gather(*(each.join_wallet(TRADER.wallet) for each in (store, *others[:2])))
        await others[0].join_wallet(TRADER.wallet)
        await others[1].join_wallet(STRANGER.wallet)
        for each in (store, others[2]):
            joined = await each.accounts_of_wallet(TRADER.wallet)
            assert joined == ["a-b_c.d", "strategy", "zebra"]
        assert await store.accounts_of_wallet(STRANGER.wallet) == ["a-b_c.d"]

    async def test_an_address_is_the_same_in_any_case(self, store: Store) -> None:
        await store.join_wallet("0xABcd")
        assert await store.accounts_of_wallet("0xabCD") == ["strategy"]

    async def test_joining_changes_nothing_of_an_account(self, store: Store) -> None:
        before = await store.open_account()
        await store.join_wallet(TRADER.wallet)
        assert await store.account() == before
        assert await store.ledger(0, MADE_AT_MS * 2) == []

    async def test_another_account_is_read_as_it_is_now_and_its_ledger_with_it(
        self, store: Store, store_named: StoreNamed
    ) -> None:
        sibling = store_named("sibling")
        for each in (store, sibling):
            await each.open_account()
        reads = store.account_named("sibling")
        assert await taken(sibling, other(1))
        assert await taken(store, a_claim())
        assert set((await reads.account()).claims) == {"0xc1"}
        assert (await reads.account()).claims == (await sibling.account()).claims
        assert await reads.ledger(0, MADE_AT_MS + 1) == []
        await sibling.put_ledger(RELEASED_ROW)
        assert await reads.ledger(0, MADE_AT_MS + 1) == [RELEASED_ROW]
        assert await reads.ledger(0, MADE_AT_MS) == []
        assert await store.ledger(0, MADE_AT_MS + 1) == []

    async def test_an_account_that_nobody_has_opened_cannot_be_read(self, store: Store) -> None:
        await store.open_account()
        with pytest.raises(StoreError, match="there is no account nobody"):
            await store.account_named("nobody").account()

    async def test_a_store_knows_whose_it_is(self, store: Store, store_named: StoreNamed) -> None:
        assert (store.account_name, store_named("other").account_name) == ("strategy", "other")
