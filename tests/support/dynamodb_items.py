"""How items get into a table behind the store's back, and out of it."""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.session
import msgspec
from botocore.config import Config

from functions.adapters.dynamodb.group_requests import group_key, state_of
from functions.adapters.dynamodb.items import (
    Item,
    account_item,
    account_key,
    account_of,
    account_partition_key,
    attributes_of,
)
from functions.core.account import Account
from functions.core.collective import CollectiveState
from sandbox.dynamodb import REGION
from tests.support.store_builders import STRATEGY, TODAY

DECISIONS_PK = f"DECISION#{STRATEGY}#{TODAY}"


@cache
def client_of(url: str) -> Any:
    """A blocking client, for what tests look at and set up."""
    return botocore.session.Session().create_client(
        "dynamodb",
        region_name=REGION,
        endpoint_url=url,
        config=Config(connect_timeout=2, read_timeout=20, parameter_validation=False),
    )


class Table:
    """The table as a person with the console sees it."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name
        self._client = client_of(url)

    def put(self, item: Item) -> None:
        self._client.put_item(TableName=self.name, Item=item)

    def put_account(self, account: Account, account_name: str = STRATEGY) -> None:
        self.put(account_item(account_name, account))

    def account_item(self, account_name: str = STRATEGY) -> Item:
        reply = self._client.get_item(
            TableName=self.name, Key=account_key(account_name), ConsistentRead=True
        )
        item: Item = reply["Item"]
        return item

    def account(self, account_name: str = STRATEGY) -> Account:
        return account_of(self.account_item(account_name))

    def delete_account(self, account_name: str = STRATEGY) -> None:
        self._client.delete_item(TableName=self.name, Key=account_key(account_name))

    def delete_configurations(self, account_name: str = STRATEGY) -> None:
        for row in self.rows(account_partition_key(account_name)):
            if row["sk"]["S"].startswith("CONFIG#"):
                key = {name: row[name] for name in ("pk", "sk")}
                self._client.delete_item(TableName=self.name, Key=key)

    def put_group(self, name: str, state: CollectiveState) -> None:
        self.put({**group_key(name), **attributes_of(msgspec.structs.asdict(state))})

    def group(self, name: str) -> CollectiveState:
        reply = self._client.get_item(TableName=self.name, Key=group_key(name), ConsistentRead=True)
        return state_of(reply["Item"])

    def rows(self, pk: str) -> list[Item]:
        """Every item of a partition, in sort order."""
        items: list[Item] = self._client.query(
            TableName=self.name,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
        )["Items"]
        return items
