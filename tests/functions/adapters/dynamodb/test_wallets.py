"""The items that say who trades with a wallet: their form, and what becomes of odd ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.adapters.dynamodb import wallets
from functions.adapters.dynamodb.items import account_key
from functions.adapters.dynamodb.wallets import account_name_of, wallet_key
from functions.ports import StoreError
from tests.support.store_builders import STRATEGY
from tests.support.trading_builders import TRADER

WALLET = TRADER.wallet


@given(st.text(min_size=1), st.text())
def test_a_name_comes_back_as_it_was_given(name: str, wallet: str) -> None:
    key = wallet_key(wallet, name)
    assert account_name_of(key) == name
    assert key["pk"] != account_key(name)["pk"]


@pytest.mark.parametrize(
    "item", [{}, {"sk": {}}, {"sk": {"N": "1"}}, {"sk": 5}, {"sk": {"S": "ACCOUNT#"}},
             {"sk": {"S": "TRADE#1"}}, {"sk": {"S": None}}]
)  # fmt: skip
def test_what_names_no_account_is_said(item: dict) -> None:
    with pytest.raises(StoreError, match="wallet item"):
        account_name_of(item)


async def test_the_item_is_where_the_documentation_says(store, table) -> None:
    await store.open_account()
    await store.join_wallet(WALLET.upper().replace("0X", "0x"))
    table.put({"pk": {"S": f"WALLET#{WALLET}"}, "sk": {"S": "ACCOUNT#by-hand"}, "why": {"S": "x"}})
    assert await store.accounts_of_wallet(WALLET) == sorted([STRATEGY, "by-hand"])


async def test_a_row_that_names_no_account_hides_none_silently(store, table) -> None:
    await store.join_wallet(WALLET)
    table.put({"pk": {"S": f"WALLET#{WALLET}"}, "sk": {"S": "note"}})
    with pytest.raises(StoreError, match="'note' names no account"):
        await store.accounts_of_wallet(WALLET)


async def test_there_is_a_most(store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wallets, "ACCOUNTS_OF_WALLET_MAX", 0)
    await store.join_wallet(WALLET)
    with pytest.raises(StoreError, match="more than 0 accounts"):
        await store.accounts_of_wallet(WALLET)


async def test_a_malformed_account_is_named_and_its_reader_s_own_is_not_concerned(
    store, table
) -> None:
    await store.open_account()
    table.put({**account_key("other"), "claims": {"N": "5"}})
    with pytest.raises(StoreError, match="account item"):
        await store.account_named("other").account()
    assert (await store.account()).claims == {}
