"""What the state table's items look like, and how they become structs. No I/O.

    pk                         sk                              item
    STRATEGY#<name>            ACCOUNT                         `Account`, claims by market
    STRATEGY#<name>            TRADE#<claimed_at_ms>#<intent>  `Claim` + `timeline`: a ledger row
    DECISION#<name>#<UTC day>  <decided_at_ms>#<decision id>   `Decision` + `expires_at`

1. Attributes carry the names and the units of the struct's fields: money, prices, sizes and times
   are integers in N (P&L too: `pnl_today_e6`). Only `imbalance`, a ratio, is a float.
2. Milliseconds in a sort key are zero-padded to 15 digits, so that text order is time order.
3. What is read is checked: a missing or malformed attribute is a StoreError that names it.
   Unknown attributes are ignored; a newer version may have written them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec

from functions.core.intent import Account, Claim
from functions.ports import StoreError
from protocol.decision import Decision, Timeline

Attribute: TypeAlias = dict[str, Any]
"""One value in DynamoDB's notation: `{"S": "text"}`, `{"N": "12"}`, `{"M": {...}}`."""
Item: TypeAlias = dict[str, Attribute]

ACCOUNT_SK: Final = "ACCOUNT"
TRADING_ENABLED: Final = "enabled"
NO_DAY: Final = ""
"""`day` of an account that has not seen a P&L yet: equal to no date."""
DECISION_KEPT_S: Final = 7 * 86_400
"""Long enough to look into last week's behaviour; the ledger keeps what matters for ever."""

_CLAIM_FIELDS: Final = Claim.__struct_fields__


def strategy_pk(strategy: str) -> str:
    """Partition key of a strategy's account and ledger."""
    return f"STRATEGY#{strategy}"


def account_key(strategy: str) -> Item:
    """Primary key of the account item."""
    return {"pk": {"S": strategy_pk(strategy)}, "sk": {"S": ACCOUNT_SK}}


def utc_day(now_ms: int) -> str:
    """UTC date `YYYY-MM-DD` of epoch milliseconds."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).date().isoformat()


def new_account_item(strategy: str) -> Item:
    """An account that may trade and has not."""
    account = Account(
        trading=TRADING_ENABLED,
        halt_reason="",
        claims={},
        cooldowns={},
        pnl_today_e6=0,
        day=NO_DAY,
    )
    return account_item(strategy, account)


def account_item(strategy: str, account: Account) -> Item:
    """The whole account item, as tests and repairs write it; the worker only ever changes parts."""
    return account_key(strategy) | _attributes(msgspec.structs.asdict(account))


def account_of(item: Item) -> Account:
    """The account item as a struct. Raises StoreError naming the malformed attribute."""
    try:
        return msgspec.convert({name: _plain(value) for name, value in item.items()}, Account)
    except ValueError as error:  # msgspec.ValidationError is one
        raise StoreError(f"account item: {error}") from error


def claim_attribute(claim: Claim) -> Attribute:
    """A claim as the map under `claims.<condition id>`. On the hot path: one flat loop."""
    fields: Item = {}
    for name in _CLAIM_FIELDS:
        value = getattr(claim, name)
        fields[name] = {"N": str(value)} if type(value) is int else {"S": value}
    return {"M": fields}


def stored_claim(item: Item, condition_id: str) -> tuple[str, str] | None:
    """(attempt id, state) of the claim on a market, None when there is none.

    Looks at nothing else, so that an unrelated malformed attribute cannot hide our own claim.
    Raises StoreError when these two cannot be read.
    """
    try:
        claim = item["claims"]["M"].get(condition_id)
        return None if claim is None else (claim["M"]["attempt_id"]["S"], claim["M"]["state"]["S"])
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"account item: $.claims.{condition_id}: attempt_id or state missing or malformed"
        ) from error


def trade_item(strategy: str, claim: Claim, timeline: Timeline) -> Item:
    """The ledger row of an intent. The same claim has the same key, whatever became of it."""
    sort_key = f"TRADE#{claim.claimed_at_ms:015d}#{claim.intent_id}"
    return {
        "pk": {"S": strategy_pk(strategy)},
        "sk": {"S": sort_key},
        **_attributes(msgspec.structs.asdict(claim)),
        "timeline": {"M": _attributes(msgspec.structs.asdict(timeline))},
    }


def trade_of(item: Item) -> tuple[Claim, Timeline]:
    """Inverse of `trade_item`. Raises StoreError naming the malformed attribute."""
    try:
        plain = {name: _plain(value) for name, value in item.items()}
        return msgspec.convert(plain, Claim), msgspec.convert(plain.get("timeline"), Timeline)
    except ValueError as error:  # msgspec.ValidationError is one
        raise StoreError(f"ledger row: {error}") from error


def decision_item(decision: Decision) -> Item:
    """A decision row. `expires_at` is in epoch seconds, as DynamoDB's TTL wants it."""
    fields = msgspec.structs.asdict(decision)
    timeline = msgspec.structs.asdict(fields.pop("timeline"))
    day = utc_day(decision.decided_at_ms)
    return {
        "pk": {"S": f"DECISION#{decision.strategy}#{day}"},
        "sk": {"S": f"{decision.decided_at_ms:015d}#{decision.decision_id}"},
        "expires_at": {"N": str(decision.decided_at_ms // 1000 + DECISION_KEPT_S)},
        **_attributes(fields),
        "timeline": {"M": _attributes(timeline)},
    }


def _attributes(fields: dict[str, Any]) -> Item:
    return {name: _attribute(value) for name, value in fields.items()}


def _attribute(value: Any) -> Attribute:
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, (int, float)):
        return {"N": repr(value)}
    if isinstance(value, Claim):
        return claim_attribute(value)
    if isinstance(value, dict):
        return {"M": _attributes(value)}
    raise TypeError(f"no attribute type for {type(value).__name__}")


def _plain(attribute: Attribute) -> Any:
    """DynamoDB's notation to plain values. What we never write comes through as is: the struct's
    types then refuse it with its path.
    """
    [(kind, value)] = attribute.items()
    if kind == "N":
        try:
            return int(value)
        except ValueError:
            return value
    if kind == "M":
        return {name: _plain(inner) for name, inner in value.items()}
    return value
