"""An account item that was written by hand, or by nobody we know: one StoreError, or it is used."""

from __future__ import annotations

import asyncio
import copy
import io
from collections.abc import Iterator
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from executor.rendering import positions_view, status_view
from executor.reports import Positions, positions_of
from functions.adapters.dynamodb.items import Item, account_item, account_of, claim_of
from functions.adapters.dynamodb.pruning import prune_request
from functions.core.account import Account, Pause, Redemption, refusal_of
from functions.core.account_status import Status, status_of
from functions.core.claim import ClaimFill, ClaimState, Finality
from functions.handlers.on_fill import on_fill
from functions.ports import StoreError
from protocol.decision import Timeline
from tests.support.fake_ports import MemoryStore
from tests.support.metrics_builders import account_metrics
from tests.support.store_builders import LIMITS, NOW_MS, STRATEGY, TODAY, make_account, make_claim
from tests.support.trading_builders import a_fill

ABSURD: list[Item] = [
    *({"N": text} for text in ("-1", "0", "1", "0.5", "1E+125", "-" + "9" * 38, "9" * 38)),
    *({"N": "1" + "0" * zeros} for zeros in (12, 15, 18, 19, 25)),
    *({"S": text} for text in ("", "x", "\x1b[31m\n", "NaN", "9" * 5_000, "x" * 5_000)),
    *({"NULL": True}, {"BOOL": True}, {"L": []}, {"M": {}}, {"B": b"x"}, {"NS": ["1"]}),
]
Path = tuple[str, ...]
METRICS = account_metrics()


@cache
def sound() -> Item:
    """To be copied, never changed."""
    claims = [
        make_claim(
            attempt=state.value,
            market=f"0x{state.value}",
            state=state,
            fee_rate="0.07",
            fills={"t1": ClaimFill(standing=Finality.CONFIRMED, price_e4=5_000, size_e6=1_000)},
            timeline=Timeline(received_at_ns=NOW_MS * 1_000_000),
            resolved_at_ms=NOW_MS,
        )
        for state in (ClaimState.UNKNOWN, ClaimState.OPEN)
    ]
    note = Redemption(token_id="7", wallet="0x1", since_ms=NOW_MS, asked_at_ms=NOW_MS, tries=1)
    account = make_account(
        claims={claim.slot: claim for claim in claims},
        cooldowns={"0xm1": NOW_MS},
        pnl_e6={TODAY: -5},
        spent_e6={TODAY: 5},
        pause=Pause(reason="rate_limited", since_ms=NOW_MS, until_ms=NOW_MS + 1),
        redeem={"0xm1": note},
        entries={claims[0].window: 1},
    )
    return account_item(STRATEGY, account)


def leaves(item: Item, path: Path = ()) -> Iterator[Path]:
    for name, attribute in item.items():
        if "M" in attribute:
            yield from leaves(attribute["M"], (*path, name))
        if name not in ("pk", "sk"):
            yield (*path, name)


def bent(changes: dict[Path, Item]) -> Item:
    item = copy.deepcopy(sound())
    for path, attribute in changes.items():
        target: Any = item
        for name in path[:-1]:
            target = target.get(name, {}).get("M", {})
        target[path[-1]] = copy.deepcopy(attribute)  # a later change may go into it
    return item


def used(account: Account) -> None:
    """By everything that only needs the account."""
    status = status_of(STRATEGY, account, LIMITS, NOW_MS, TODAY)
    positions = positions_of(STRATEGY, account, list(account.claims.values()), NOW_MS)
    drawn(status, positions)
    refusal_of(account, make_claim(), LIMITS, NOW_MS, TODAY)
    prune_request(account, NOW_MS)
    store = MemoryStore()
    store.item = account
    orders = [claim.order_id for claim in account.claims.values()]
    fills = [a_fill(order_id=order, matched_at_ms=NOW_MS) for order in orders]
    asyncio.run(on_fill(store, METRICS, fills))


SHOWN: set[str] = set()


def drawn(status: Status, positions: Positions) -> None:
    """Once for all accounts that look the same: drawing takes nearly all of a test's time."""
    status_table, positions_table = status_view(status), positions_view(positions, ended=True)
    if (looks := repr((status, positions))) not in SHOWN:
        SHOWN.add(looks)
        Console(file=io.StringIO()).print(status_table, positions_table)


def read(item: Item) -> None:
    try:
        account = account_of(item)
    except StoreError as error:
        assert str(error).startswith("account item: ")
    else:
        used(account)


def test_no_single_attribute_ends_whoever_reads_it() -> None:
    used(account_of(sound()))
    for path in leaves(sound()):
        for attribute in ABSURD:
            read(bent({path: attribute}))


PATHS = sorted(leaves(sound()))


@given(st.dictionaries(st.sampled_from(PATHS), st.sampled_from(ABSURD), min_size=1, max_size=4))
def test_no_combination_of_attributes_ends_whoever_reads_it(changes: dict[Path, Item]) -> None:
    read(bent(changes))


def test_a_ledger_row_whose_times_no_calendar_has_is_named() -> None:
    row = sound()["claims"]["M"]["0xunknown"]["M"] | {"claimed_at_ms": {"N": "9" * 20}}
    try:
        claim_of(row)
    except StoreError as error:
        assert "claimed_at_ms" in str(error)
    else:
        raise AssertionError("it was read")
