"""Which accounts trade with a wallet, and another account than one's own, to be looked at.

    table   pk                             sk                        item
    state   WALLET#<address, lower case>   ACCOUNT#<account name>    nothing else: that it is there

An account that holds a claim of a wallet is found here: the item is written before its first claim,
and never taken away by a process. Who removes one by hand says that the account holds none.
"""

from __future__ import annotations

from typing import Final

from functions.adapters.dynamodb.items import Item, account_key, account_of
from functions.adapters.dynamodb.ledger import Ledger
from functions.adapters.dynamodb.table import Table
from functions.core.account import Account
from functions.core.claim import Claim
from functions.ports import StoreError

ACCOUNTS_OF_WALLET_MAX: Final = 100
"""Each is read with every comparison of positions, by each of them."""
_PREFIX: Final = "ACCOUNT#"


def wallet_key(wallet: str, account_name: str) -> Item:
    """Primary key of the item which says that the account trades with the wallet."""
    return {"pk": {"S": wallet_partition_key(wallet)}, "sk": {"S": f"{_PREFIX}{account_name}"}}


def wallet_partition_key(wallet: str) -> str:
    """Partition key of a wallet's accounts; the address in any case."""
    return f"WALLET#{wallet.lower()}"


def account_name_of(item: Item) -> str:
    """Inverse of `wallet_key`. Raises StoreError."""
    try:
        name = str(item["sk"]["S"])
    except (LookupError, TypeError) as error:
        raise StoreError("wallet item: no sort key") from error
    if len(name) <= len(_PREFIX) or not name.startswith(_PREFIX):
        raise StoreError(f"wallet item: {name[:100]!r} names no account")
    return name.removeprefix(_PREFIX)


async def join(table: Table, wallet: str, account_name: str) -> None:
    """Say that the account trades with the wallet. Idempotent."""
    await table.put("join_wallet", Item=wallet_key(wallet, account_name))


async def accounts_of(table: Table, wallet: str) -> list[str]:
    """The names of those that have joined, in order. Raises StoreError beyond
    ACCOUNTS_OF_WALLET_MAX."""
    rows = await table.query(
        "accounts_of_wallet",
        pages_max=1,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": wallet_partition_key(wallet)}},
        ConsistentRead=True,
    )
    if len(rows) > ACCOUNTS_OF_WALLET_MAX:
        raise StoreError(f"accounts_of_wallet: more than {ACCOUNTS_OF_WALLET_MAX} accounts")
    return sorted(map(account_name_of, rows))


async def read_account(table: Table, account_name: str) -> Account:
    """The account as it is now. Raises StoreError when there is none, or it cannot be read."""
    item = await table.get("account", Key=account_key(account_name), ConsistentRead=True)
    if item is None:
        raise StoreError(f"account: there is no account {account_name}")
    return account_of(item)


class OtherAccount:
    """`functions.ports.AccountReads` of an account by its name."""

    def __init__(self, table: Table, account_name: str) -> None:
        self._table = table
        self._account_name = account_name

    async def account(self) -> Account:
        """See `AccountReads.account`."""
        return await read_account(self._table, self._account_name)

    async def ledger(self, since_ms: int, until_ms: int) -> list[Claim]:
        """See `AccountReads.ledger`."""
        return await Ledger(self._table, self._account_name).between(since_ms, until_ms)
