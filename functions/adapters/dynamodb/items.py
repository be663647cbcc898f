"""What the tables' items look like, and how they become structs. No I/O.

    table      pk                         sk                              item
    state      STRATEGY#<name>            ACCOUNT                         `Account`, claims by slot,
                                                                          entries by window
    state      STRATEGY#<name>            CONFIG#<version>                `ConfigurationRow`
    state      STRATEGY#<name>            TRADE#<claimed_at_ms>#<intent>  `Claim`: a ledger row
    state      WALLET#<address>           ACCOUNT#<name>                  nothing: see `wallets`
    decisions  DECISION#<name>#<UTC day>  <decided_at_ms>#<decision id>   `Decision` + `expires_at`

1. Attributes carry the names and the units of the struct's fields: money, prices, sizes and times
   are integers in N. Only `imbalance`, a ratio, is a float.
2. Milliseconds in a sort key are zero-padded to 15 digits, so that text order is time order.
3. What is read is checked: a missing or malformed attribute is a StoreError that names it.
   Unknown attributes are ignored; a newer version may have written them. What older versions did
   not write has a default.
4. A text is stored `whole`: DynamoDB refuses an item with half a character in it, and with it a
   claim that would stay as it is for ever.
5. What could not be read again is not written, which is a StoreError, too.
6. A claim's fields that have their default value are not stored: the account item is written
   with every claim, and paid by the kilobyte.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from functions.core.account import Account, Pause, Redemption, new_account, utc_day
from functions.core.claim import Claim
from functions.ports import StoreError, UnreadableRowsError
from protocol.decision import Decision
from protocol.text import whole

Attribute: TypeAlias = dict[str, Any]
"""One value in DynamoDB's notation: `{"S": "text"}`, `{"N": "12"}`, `{"M": {...}}`."""
Item: TypeAlias = dict[str, Attribute]

_Row = TypeVar("_Row")

ACCOUNT_SK: Final = "ACCOUNT"
NAME_LENGTH_MAX: Final = 100
"""Of a row that cannot be read: its sort key may be anything."""
DECISION_KEPT_S: Final = 7 * 86_400
"""Long enough to look into last week's behaviour; the ledger keeps what matters for ever."""

_NEWER: Final = frozenset(
    {"tries", "wallet", "size_e6", "unseen", "looks", "looked_at_ms"}
)  # of a note of winnings
MALFORMED: Final = (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What an answer raises that is no item of DynamoDB's; msgspec.ValidationError is a ValueError."""
_ONLY_RECORDED: Final = ("memory_versions", "market")  # of a decision
_ALWAYS_STORED: Final = frozenset({"version", "state"})  # conditions look at them


def account_partition_key(account_name: str) -> str:
    """Partition key of an account and its ledger."""
    return f"STRATEGY#{account_name}"


def account_key(account_name: str) -> Item:
    """Primary key of the account item."""
    return {"pk": {"S": account_partition_key(account_name)}, "sk": {"S": ACCOUNT_SK}}


def missing_account_attributes(changed: set[str]) -> Item:
    """What a new account consists of (enabled, empty), less what `changed` assignments name."""
    assigned = {assignment.partition(" ")[0] for assignment in changed}
    fields = attributes_of(msgspec.structs.asdict(new_account()))
    del fields["collective"]  # its group's limits write it
    return {name: value for name, value in fields.items() if name not in assigned}


def account_item(account_name: str, account: Account) -> Item:
    """The whole account item, as tests and repairs write it; the worker only ever changes parts."""
    fields = msgspec.structs.asdict(account)
    if account.config_version is None:
        del fields["config_version"]  # an item of an older version
    if not account.collective:
        del fields["collective"]
    return account_key(account_name) | attributes_of(fields)


def account_of(item: Item) -> Account:
    """The account item as a struct. Raises StoreError naming the malformed attribute."""
    try:
        return msgspec.convert({name: plain_value(value) for name, value in item.items()}, Account)
    except MALFORMED as error:
        raise StoreError(f"account item: {error}") from error


def pause_attribute(pause: Pause) -> Attribute:
    """The account's pause. Raises StoreError for one that could not be read again."""
    _refuse_unreadable(pause)
    return {"M": attributes_of(msgspec.structs.asdict(pause))}


def redemption_attribute(redemption: Redemption) -> Attribute:
    """What is noted about a market's winnings. Without what an older version does not know while it
    says nothing: the whole map is compared, and theirs lacks it.

    Raises StoreError for one that could not be read again.
    """
    _refuse_unreadable(redemption)
    fields = msgspec.structs.asdict(redemption)
    return {"M": attributes_of({name: v for name, v in fields.items() if v or name not in _NEWER})}


def redemption_of(attribute: Attribute) -> Redemption:
    """Inverse of `redemption_attribute`. Raises StoreError naming what is malformed."""
    try:
        return msgspec.convert(plain_value(attribute), Redemption)
    except MALFORMED as error:
        raise StoreError(f"account item: note of winnings: {error}") from error


def claim_attribute(claim: Claim) -> Attribute:
    """A claim as the map under `claims.<slot>`, and as a ledger row's attributes.

    Raises StoreError for one that could not be read again.
    """
    _refuse_unreadable(claim)
    fields: Item = {}
    for name, stored_name, default in _CLAIM_FIELDS:
        value = getattr(claim, name)
        if value == default and name not in _ALWAYS_STORED:
            continue
        kind = type(value)
        if kind is int:
            fields[stored_name] = {"N": str(value)}
        elif kind is str:
            fields[stored_name] = {"S": whole(value)}
        else:
            fields[stored_name] = _attribute(value)
    return {"M": fields}


def _defaults() -> tuple[tuple[str, str, Any], ...]:
    return tuple(
        (
            field.name,
            field.encode_name,
            field.default_factory()
            if field.default_factory is not msgspec.NODEFAULT
            else field.default,
        )
        for field in msgspec.structs.fields(Claim)
    )


_CLAIM_FIELDS: Final = _defaults()


def stored_attempt(item: Item, slot: str) -> str | None:
    """Attempt id of the claim in an account's slot, None when there is none.

    Looks at nothing else, so that an unrelated malformed attribute cannot hide our own claim.
    Raises StoreError when it cannot be read.
    """
    try:
        claim = item["claims"]["M"].get(slot)
        return None if claim is None else str(claim["M"]["attempt_id"]["S"])
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"account item: $.claims.{slot}: attempt_id missing or malformed"
        ) from error


def claim_of(row: Item) -> Claim:
    """The claim of a ledger row. Raises StoreError naming the malformed attribute."""
    try:
        return msgspec.convert({name: plain_value(value) for name, value in row.items()}, Claim)
    except MALFORMED as error:
        raise StoreError(f"ledger row: {error}") from error


def all_of(rows: Sequence[Item], read: Callable[[Item], _Row]) -> list[_Row]:
    """Rows as structs. Raises UnreadableRowsError, which has those that can be read."""
    readable, unreadable = [], []
    for row in rows:
        try:
            readable.append(read(row))
        except StoreError as error:
            unreadable.append(f"{_sort_key(row)}: {error}")
    if unreadable:
        raise UnreadableRowsError(readable, unreadable)
    return readable


def _sort_key(row: Item) -> str:
    try:
        name = str(row["sk"]["S"])[:NAME_LENGTH_MAX]
    except (LookupError, TypeError):
        return "a row without a key"
    return "".join(each if each.isprintable() else " " for each in name)


def trade_sort_key(claimed_at_ms: int, intent_id: str) -> str:
    """Sort key of a ledger row; with an empty intent id, the first one of that millisecond."""
    return f"TRADE#{claimed_at_ms:015d}#{intent_id}"


def trade_key(account_name: str, claim: Claim) -> Item:
    """Primary key of a claim's ledger row: the same claim, the same key, whatever became of it."""
    sort_key = trade_sort_key(claim.claimed_at_ms, claim.intent_id)
    return {"pk": {"S": account_partition_key(account_name)}, "sk": {"S": sort_key}}


def decision_key(account_name: str, day: str) -> str:
    """Partition key of a day's decisions."""
    return f"DECISION#{account_name}#{day}"


def decision_item(decision: Decision) -> Item:
    """A decision row, without what only a recording keeps: a row is paid by its size.
    `expires_at` is in epoch seconds, as DynamoDB's TTL wants it."""
    fields = msgspec.structs.asdict(decision)
    for name in _ONLY_RECORDED:
        del fields[name]
    timeline = msgspec.structs.asdict(fields.pop("timeline"))
    day = utc_day(decision.decided_at_ms)
    return {
        "pk": {"S": decision_key(decision.strategy, day)},
        "sk": {"S": f"{decision.decided_at_ms:015d}#{decision.decision_id}"},
        "expires_at": {"N": str(decision.decided_at_ms // 1000 + DECISION_KEPT_S)},
        **attributes_of(fields),
        "timeline": {"M": attributes_of(timeline)},
    }


def decision_of(item: Item) -> Decision:
    """Inverse of `decision_item`. Raises StoreError naming the malformed attribute."""
    try:
        plain = {name: plain_value(value) for name, value in item.items()}
        return msgspec.convert(plain, Decision, strict=False)  # the imbalance is not an integer
    except MALFORMED as error:
        raise StoreError(f"decision row: {error}") from error


def _refuse_unreadable(value: Claim | Redemption | Pause) -> None:
    """What nobody can read ends every reader of its item, and only a person can mend that."""
    try:
        msgspec.convert(msgspec.to_builtins(value), type(value))
    except ValueError as error:  # msgspec.ValidationError is one
        raise StoreError(f"{type(value).__name__.lower()} not stored: {error}") from error


def attributes_of(fields: dict[str, Any]) -> Item:
    """Plain values and structs in DynamoDB's notation."""
    return {whole(name): _attribute(value) for name, value in fields.items()}


def _attribute(value: Any) -> Attribute:
    if isinstance(value, str):
        return {"S": whole(str(value))}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, (int, float)):
        return {"N": repr(value)}
    if isinstance(value, Claim | Redemption):
        return claim_attribute(value) if isinstance(value, Claim) else redemption_attribute(value)
    if isinstance(value, msgspec.Struct):
        return {"M": attributes_of(msgspec.structs.asdict(value))}
    if isinstance(value, dict):
        return {"M": attributes_of(value)}
    raise TypeError(f"no attribute type for {type(value).__name__}")


def plain_value(attribute: Attribute) -> Any:
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
        return {name: plain_value(inner) for name, inner in value.items()}
    return value
