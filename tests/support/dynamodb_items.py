"""Accounts and claims of tests, and how they get into a table behind the store's back."""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config

from functions.adapters.dynamodb.items import (
    Item,
    account_item,
    account_key,
    account_of,
    account_partition_key,
)
from functions.core.account import NO_PAUSE, Account, Limits
from functions.core.claim import Claim, ClaimState
from protocol.decision import Decision, Timeline
from sandbox.dynamodb import REGION

STRATEGY = "book_imbalance_crypto"
NOW_MS = 1_790_000_000_000  # 2026-09-21T14:13:20Z
TODAY = "2026-09-21"
DECISIONS_PK = f"DECISION#{STRATEGY}#{TODAY}"
LIMITS = Limits(
    max_positions=3,
    cooldown_ms=300_000,
    daily_loss_limit_e6=10_000_000,
    daily_spend_cap_e6=50_000_000,
    max_entries_per_market=2,
)


def make_claim(market: str = "0xm1", attempt: str = "a1", **changes: Any) -> Claim:
    fields: dict[str, Any] = {
        "intent_id": f"intent-{attempt}",
        "attempt_id": attempt,
        "order_id": f"0xorder-{attempt}",
        "condition_id": market,
        "slug": f"btc-updown-15m-{market}",
        "token_id": "7" * 77,
        "outcome": "Up",
        "state": ClaimState.CLAIMED,
        "max_price_e4": 5_500,
        "spend_e6": 1_100_000,
        "salt": "123456789",
        "order_timestamp_ms": NOW_MS - 5,
        "claimed_at_ms": NOW_MS,
        "market_end_ms": NOW_MS + 600_000,
        "counted": True,
    }
    return Claim(**{**fields, **changes})


def make_account(**changes: Any) -> Account:
    fields: dict[str, Any] = {
        "trading": "enabled",
        "halt_reason": "",
        "claims": {},
        "cooldowns": {},
        "pnl_e6": {},
        "spent_e6": {},
        "pause": NO_PAUSE,
        "redeem": {},
        "config_version": 0,
        "entries": {},
    }
    return Account(**{**fields, **changes})


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

    def rows(self, pk: str) -> list[Item]:
        """Every item of a partition, in sort order."""
        items: list[Item] = self._client.query(
            TableName=self.name,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
        )["Items"]
        return items


def make_decision(number: int, **changes) -> Decision:
    fields = {
        "decision_id": f"d{number:03d}",
        "strategy": STRATEGY,
        "worker": "w1",
        "condition_id": "0xm1",
        "slug": "slug",
        "outcome": "Up",
        "token_id": "7",
        "result": "refused",
        "reason": "cooldown",
        "imbalance": 0.5,
        "signal_price_e4": 5_200,
        "max_price_e4": 5_460,
        "spend_e6": 1_100_000,
        "decided_at_ms": NOW_MS + number,
        "timeline": Timeline(),
    }
    return Decision(**{**fields, **changes})
