"""Rows that were written by hand, or by nobody we know: one StoreError, or they are used."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.adapters.sqlite.rows import read, text_of
from functions.core.account import Account, Pause
from functions.core.claim import ClaimState
from functions.ports import Claimed, StoreError, StoreRefusedError, UnreadableRowsError
from tests.functions.adapters.dynamodb.test_any_item import used
from tests.support.sqlite_stores import SqliteTable, store_in
from tests.support.store_builders import (
    LIMITS,
    NOW_MS,
    TODAY,
    make_account,
    make_claim,
    make_decision,
)
from tests.support.stored_account_contract import ended

ABSURD: list[Any] = [
    *(-1, 0, 0.5, 10**15, 10**18, 2**63, 1e308, "", "x", "\x1b[31m\n", "9" * 5_000),
    *(None, True, [], {}, [1], {"a": 1}),
]
CLAIM = make_claim(state=ClaimState.OPEN, by_intent=True, fee_rate="0.07", resolved_at_ms=NOW_MS)
SOUND = make_account(
    claims={CLAIM.slot: CLAIM},
    cooldowns={"0xm1": NOW_MS},
    pnl_e6={TODAY: -5},
    spent_e6={TODAY: 5},
    pause=Pause(reason="rate_limited", since_ms=NOW_MS, until_ms=NOW_MS + 1),
    entries={CLAIM.window: 1},
)


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for name, each in value.items():
            found += leaves(each, (*path, name))
    return found


PATHS = leaves(json.loads(text_of(SOUND)))


@given(st.dictionaries(st.sampled_from(PATHS), st.sampled_from(ABSURD), max_size=3))
def test_whatever_stands_there_is_used_or_named(changes: dict[tuple[str, ...], Any]) -> None:
    item = json.loads(text_of(SOUND))
    for path, value in changes.items():
        target = item
        for name in path[:-1]:
            target = target.get(name, {}) if isinstance(target, dict) else {}
        if isinstance(target, dict):
            target[path[-1]] = copy.deepcopy(value)  # it may be changed itself, and once again
    try:
        account = read(Account, json.dumps(item))
    except StoreError as error:
        assert str(error).startswith("account item: ")
    else:
        with suppress(StoreError):  # a claim that is not where its intent says, for one
            used(account)


def test_what_other_versions_write_is_read() -> None:
    item = json.loads(text_of(SOUND))
    newer = item | {"invented": {"later": 1}}
    assert read(Account, json.dumps(newer)) == SOUND
    older = {name: each for name, each in item.items() if name != "entries"}
    assert read(Account, json.dumps(older)) == msgspec.structs.replace(SOUND, entries={})


def test_a_text_with_half_a_character_is_stored_whole() -> None:
    account = make_account(trading="halted", halt_reason="half \ud83d")
    assert read(Account, text_of(account)).halt_reason == "half \\ud83d"


async def test_what_could_not_be_read_again_is_not_written(store) -> None:
    await store.open_account()
    bad = make_claim(claimed_at_ms=10**18)
    with pytest.raises(StoreError, match=r"ledger row not stored: .*claimed_at_ms"):
        await store.put_ledger(bad)
    with pytest.raises(StoreError):
        await store.claim(msgspec.structs.replace(bad, market_end_ms=-1), LIMITS, NOW_MS)
    assert await store.account() == make_account()
    with pytest.raises(StoreRefusedError, match="decision row not stored"):
        await store.put_decisions([make_decision(1), make_decision(2, imbalance=float("nan"))])
    assert await store.decisions(TODAY, 9) == []


async def test_one_row_that_cannot_be_read_is_named_and_hides_no_other(
    store, table: SqliteTable, state_file: Path
) -> None:
    rows = [ended(attempt=f"a{n}", claimed_at_ms=NOW_MS + n) for n in range(3)]
    told = [make_decision(number) for number in range(3)]
    await store.put_decisions(told)
    for row in rows:
        await store.put_ledger(row)
    table.run("UPDATE ledger SET claim = '{\"spend_e6\": \"much\"}' WHERE intent_id = 'intent-a1'")
    log = SqliteTable(state_file.with_name("decisions.sqlite"))
    log.run("UPDATE decisions SET decision = '[]' WHERE decision_id = 'd001'")
    for look, readable, name in (
        (store.ledger(0, 10**14), [rows[0], rows[2]], f"TRADE#00{NOW_MS + 1}#intent-a1"),
        (store.decisions(TODAY, 9), told[::-2], f"00{NOW_MS + 1}#d001"),
    ):
        with pytest.raises(UnreadableRowsError) as raised:
            await look
        assert raised.value.readable == readable
        assert str(raised.value).startswith(f"1 of 3 rows cannot be read, the first: {name}: ")


async def test_a_malformed_account_is_named_and_no_other_is_concerned(store, table) -> None:
    await store.open_account()
    table.run("INSERT INTO accounts (name, item) VALUES ('other', '{\"claims\": 5}')")
    with pytest.raises(StoreError, match="account item: "):
        await store.account_named("other").account()
    assert (await store.account()).claims == {}


@pytest.mark.parametrize("digit", [b"1", b"9"])
async def test_a_digit_that_the_disk_has_changed_is_no_amount(
    state_file: Path, digit: bytes
) -> None:
    """Each is as good a number as what was written, and SQLite finds nothing."""
    spent = make_account(spent_e6={TODAY: 5_000_000})
    SqliteTable(state_file).put_account(spent)
    data = state_file.read_bytes()
    written, found = f'"{TODAY}":5000000'.encode(), f'"{TODAY}":'.encode() + digit + b"000000"
    assert data.count(written) == 1
    state_file.write_bytes(data.replace(written, found))
    async with store_in(state_file) as store:
        with pytest.raises(StoreError, match=r"^account item: it is not what was written .*backup"):
            await store.open_account()


async def test_what_a_person_has_changed_is_read_without_the_checksum(store, table) -> None:
    await store.open_account()
    table.run("UPDATE accounts SET item = json_set(item, '$.halt_reason', 'mine')")
    with pytest.raises(StoreError, match=r"not what was written \(\$\.crc32\)"):
        await store.account()
    table.run("UPDATE accounts SET item = json_remove(item, '$.crc32')")
    assert (await store.account()).halt_reason == "mine"


async def test_an_account_of_before_configurations_is_completed_when_it_is_opened(
    store, table
) -> None:
    table.put_account(make_account(config_version=None))
    assert await store.open_account() == make_account(config_version=0)
    assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
