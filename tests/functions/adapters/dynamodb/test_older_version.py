"""What an older version left, and what it does beside this one during a rolling update.

An older version keeps an open claim under its market until it ends, counts no entries, and drops
the fields that it does not know when it writes a claim. It knows `reopened`, and looks under the
intent id for what has it. It keeps one note of winnings a market, under the condition id, takes
every key for one, and writes a note on condition that it knows all of it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError

from functions.adapters.dynamodb.conditions import (
    CLAIM_CONDITION,
    CONFIGURATION_IS_IN_FORCE,
    ENTRY_IS_LEFT,
    GROUP_COUNTS_IT,
    SEEN_CONDITION,
)
from functions.adapters.dynamodb.items import (
    Item,
    account_key,
    claim_attribute,
    redemption_attribute,
)
from functions.adapters.dynamodb.store import DynamoStore
from functions.core.account import ClaimRefusal, Redemption
from functions.core.claim import UNRESOLVED, Claim, ClaimEvent, ClaimState, moved
from functions.core.evidence import Resolution
from functions.core.lifecycle import apply_resolution
from functions.core.winnings import market_of, markets_of, note_of
from functions.handlers.apply_evidence import apply_evidence
from functions.ports import Claimed, ClaimRefused
from tests.support.configuration_builders import a_row
from tests.support.dynamodb_items import Table, client_of
from tests.support.store_builders import LIMITS, NOW_MS, STRATEGY, TODAY, make_account, make_claim

OLD_CONDITION = CLAIM_CONDITION.replace(f" AND {ENTRY_IS_LEFT}", "").replace(
    f" AND {CONFIGURATION_IS_IN_FORCE}", ""
)
OLD_CONDITION = OLD_CONDITION.replace(f" AND {GROUP_COUNTS_IT}", "")
NEW_FIELDS = {"counted", "came_back", "trader", "noted_e6", "config_version"}
OVER_MS = NOW_MS + LIMITS.cooldown_ms
END_MS = make_claim().market_end_ms
BOUGHT = make_claim(
    state=ClaimState.OPEN,
    version=2,
    counted=False,
    reported_spend_e6=1_000_000,
    reported_size_e6=2_000_000,
    filled_spend_e6=1_000_000,
    filled_size_e6=2_000_000,
)


def older_attribute(claim: Claim) -> dict[str, Any]:
    fields = claim_attribute(claim)["M"]
    return {"M": {name: value for name, value in fields.items() if name not in NEW_FIELDS}}


def older_note(note: Redemption) -> Item:
    fields: Item = redemption_attribute(note)["M"]
    return {name: value for name, value in fields.items() if name != "size_e6"}


class OlderVersion:
    """Its writes."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def claim(self, claim: Claim, now_ms: int) -> bool:
        return self._write(
            "SET claims.#market = :claim, cooldowns.#market = :until",
            OLD_CONDITION,
            {"#market": claim.condition_id, "#today": TODAY},
            {
                ":claim": older_attribute(claim),
                ":until": {"N": str(now_ms + LIMITS.cooldown_ms)},
                ":enabled": {"S": "enabled"},
                ":now": {"N": str(now_ms)},
                ":max_positions": {"N": str(LIMITS.max_positions)},
                ":loss_floor": {"N": str(-LIMITS.daily_loss_limit_e6)},
                ":room": {"N": str(LIMITS.daily_spend_cap_e6 - claim.spend_e6)},
            },
        )

    def move(self, claim: Claim, seen: Claim) -> bool:
        slot = claim.intent_id if seen.by_intent else claim.condition_id
        as_it_stands = msgspec.structs.replace(claim, by_intent=seen.by_intent)
        return self._write(
            "SET claims.#slot = :claim",
            SEEN_CONDITION,
            {"#slot": slot},
            {
                ":claim": older_attribute(as_it_stands),
                ":attempt": {"S": seen.attempt_id},
                ":seen_version": {"N": str(seen.version)},
            },
        )

    def redeem(self, key: str, note: Redemption, now_ms: int) -> bool:
        """Count a request in the note that it has read; only then it makes the request."""
        read = older_note(note)
        asked = {**read, "asked_at_ms": {"N": str(now_ms)}, "tries": {"N": "1"}}
        return self._write(
            "SET redeem.#market = :new",
            "redeem.#market = :seen",
            {"#market": key},
            {":new": {"M": asked}, ":seen": {"M": read}},
        )

    def settle(self, claim: Claim, seen: Claim) -> bool:
        """Its note takes the place of the one that is there."""
        note = note_of(claim, seen, claim.settled_at_ms, None)
        return self._write(
            "SET claims.#slot = :claim, redeem.#market = :redeem",
            SEEN_CONDITION,
            {"#slot": seen.intent_id, "#market": claim.condition_id},
            {
                ":claim": older_attribute(claim),
                ":attempt": {"S": seen.attempt_id},
                ":seen_version": {"N": str(seen.version)},
                ":redeem": {"M": older_note(note)},
            },
        )

    def _write(self, update: str, condition: str, names: dict[str, str], values: Item) -> bool:
        try:
            client_of(self._table.url).update_item(
                TableName=self._table.name,
                Key=account_key(STRATEGY),
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
            )
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ConditionalCheckFailedException"
            return False
        return True


@pytest.fixture
def older(table: Table) -> OlderVersion:
    return OlderVersion(table)


def put_older(table: Table, *claims: Claim) -> None:
    """An item without what this version adds."""
    spent = sum(claim.spend_e6 for claim in claims)
    table.put_account(make_account(spent_e6={TODAY: spent}))
    item = table.account_item()
    del item["entries"], item["config_version"]
    item["claims"] = {"M": {each.condition_id: older_attribute(each) for each in claims}}
    table.put(item)


async def test_an_older_item_is_read_and_its_claims_move_settle_and_are_filed(
    store: DynamoStore, table: Table
) -> None:
    another = make_claim("0xm2", "b1", counted=False)
    put_older(table, BOUGHT, another)
    account = await store.account()
    assert account.claims == {"0xm1": BOUGHT, "0xm2": another}
    assert account.entries == {}
    opened = moved(another, ClaimEvent.FOUND)
    assert await store.move(opened, another)
    assert (await store.account()).claims == {"0xm1": BOUGHT, opened.intent_id: opened}
    won = Resolution(payouts_e6={BOUGHT.token_id: 1_000_000}, source="clob")
    late_ms = END_MS + 3_600_000
    ended = await apply_evidence(
        store, BOUGHT, lambda seen: apply_resolution(seen, won, late_ms), redeem=True
    )
    assert ended is not None
    assert (ended.state, ended.pnl_e6) == (ClaimState.SETTLED, 1_000_000)
    account = await store.account()
    assert account.claims == {opened.intent_id: opened}
    assert await store.ledger_row(BOUGHT) == ended
    assert account.pnl_e6 == {TODAY: 1_000_000}
    assert account.spent_e6 == {TODAY: 1_000_000 + another.spend_e6}
    assert markets_of(account.redeem) == ["0xm1"]


async def test_an_older_item_takes_claims_and_counts_from_then_on(
    store: DynamoStore, table: Table
) -> None:
    put_older(table)
    refused = await store.claim(make_claim(), LIMITS, NOW_MS)
    assert isinstance(refused, ClaimRefused)  # whoever trades opens the account before
    assert refused.reason is ClaimRefusal.CONFIG_CHANGED
    await store.open_account()
    assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
    assert table.account().entries == {make_claim().window: 1}


async def test_an_older_item_gets_its_first_configuration_and_an_older_version_claims_beside_it(
    store: DynamoStore, table: Table, older: OlderVersion
) -> None:
    put_older(table)
    await store.open_account()
    assert await store.set_configuration(a_row(1), 0)
    assert older.claim(make_claim("0xm2", "o1", counted=False), NOW_MS)
    first = msgspec.structs.replace(LIMITS, config_version=1)
    assert await store.claim(make_claim(config_version=1), first, NOW_MS) == Claimed()
    account = table.account()
    assert (account.config_version, len(account.claims)) == (1, 2)


async def test_an_older_row_is_reopened_on_an_older_item(store: DynamoStore, table: Table) -> None:
    put_older(table)
    row = make_claim(state=ClaimState.RELEASED, version=2, counted=False)
    await store.put_ledger(row)
    back = await apply_evidence(store, row, lambda seen: moved(seen, ClaimEvent.FOUND), filed=True)
    assert back is not None
    assert back.came_back
    account = table.account()
    assert account.claims == {back.intent_id: back}
    assert account.entries == {back.window: 1}


async def test_what_an_older_version_opened_is_an_entry_of_its_window(
    store: DynamoStore, table: Table
) -> None:
    """Moving it frees its market, and must not make room for one entry more than allowed."""
    put_older(table, BOUGHT)
    await store.open_account()
    one = msgspec.structs.replace(LIMITS, max_entries_per_market=1)
    rival = make_claim(attempt="a2")
    refused = await store.claim(rival, one, OVER_MS)
    assert isinstance(refused, ClaimRefused)
    assert refused.reason is ClaimRefusal.MARKET_CLAIMED
    assert await store.move(moved(BOUGHT, ClaimEvent.FOUND), BOUGHT)
    refused = await store.claim(rival, one, OVER_MS)
    assert isinstance(refused, ClaimRefused)
    assert refused.reason is ClaimRefusal.MAX_ENTRIES
    assert await store.claim(rival, LIMITS, OVER_MS) == Claimed()


async def test_an_older_version_can_move_what_this_one_has_resolved(
    store: DynamoStore, table: Table, older: OlderVersion
) -> None:
    await store.open_account()
    assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
    opened = moved(make_claim(), ClaimEvent.FOUND)
    assert await store.move(opened, make_claim())
    stored = table.account_item()["claims"]["M"][opened.intent_id]["M"]
    assert stored["reopened"] == {"BOOL": True}  # the word by which an older version finds it
    more = moved(opened, ClaimEvent.FOUND)
    assert older.move(more, opened)
    assert await store.account() == msgspec.structs.replace(
        table.account(), claims={opened.intent_id: msgspec.structs.replace(more, counted=False)}
    )


async def test_of_an_older_and_a_newer_version_one_claims_and_both_can_move_it(
    store: DynamoStore, table: Table, older: OlderVersion
) -> None:
    await store.open_account()
    ours, theirs = make_claim(), make_claim(attempt="o1", counted=False)
    assert await store.claim(ours, LIMITS, NOW_MS) == Claimed()
    assert not older.claim(theirs, OVER_MS)
    unknown = moved(ours, ClaimEvent.NO_PROOF)
    assert older.move(unknown, ours)
    assert not older.claim(theirs, OVER_MS)
    opened = moved(msgspec.structs.replace(unknown, counted=False), ClaimEvent.FOUND)
    assert await store.move(opened, unknown)
    assert older.claim(theirs, OVER_MS)
    refused = await store.claim(make_claim(attempt="a2"), LIMITS, OVER_MS + LIMITS.cooldown_ms)
    assert isinstance(refused, ClaimRefused)
    assert refused.reason is ClaimRefusal.MARKET_CLAIMED
    assert set(table.account().claims) == {"0xm1", opened.intent_id}


async def test_an_older_version_asks_for_no_winnings_under_a_key_that_it_takes_for_a_market(
    store: DynamoStore, table: Table, older: OlderVersion
) -> None:
    """It would spend the tries on requests that cannot succeed."""
    won = await settled(store)
    [(key, note)] = (await store.account()).redeem.items()
    assert not older.redeem(key, note, OVER_MS)
    assert (await store.account()).redeem == {key: note}
    asked = msgspec.structs.replace(note, asked_at_ms=1, tries=1)
    assert await store.set_redemptions({key: asked}, {key: note})
    assert not older.redeem(key, asked, OVER_MS)
    assert market_of(key) == won.condition_id


async def test_notes_of_both_versions_stand_beside_each_other_and_both_can_go(
    store: DynamoStore, table: Table, older: OlderVersion
) -> None:
    second = make_claim(attempt="a2")
    await settled(store)
    assert await store.claim(second, LIMITS, OVER_MS) == Claimed()
    opened = moved(second, ClaimEvent.FOUND)
    assert await store.move(opened, second)
    won = msgspec.structs.replace(
        opened, state=ClaimState.SETTLED, version=3, settled_at_ms=END_MS, filled_size_e6=7
    )
    assert older.settle(won, opened)
    notes = (await store.account()).redeem
    assert len(notes) == 2
    assert markets_of(notes) == ["0xm1"]
    assert older.redeem("0xm1", notes["0xm1"], OVER_MS)
    notes = (await store.account()).redeem
    assert await store.set_redemptions(dict.fromkeys(notes), notes)
    assert (await store.account()).redeem == {}


async def settled(store: DynamoStore) -> Claim:
    await store.open_account()
    assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
    opened = moved(make_claim(), ClaimEvent.FOUND)
    assert await store.move(opened, make_claim())
    won = msgspec.structs.replace(
        opened, state=ClaimState.SETTLED, version=3, settled_at_ms=END_MS, filled_size_e6=5
    )
    assert await store.move(won, opened, redeem=True)
    await store.forget(won)
    return won


async def test_older_and_newer_versions_race_and_no_limit_breaks(
    store: DynamoStore, table: Table, older: OlderVersion
) -> None:
    """Rounds of claims on two markets, each round after the cooldown of the one before."""
    await store.open_account()
    for number in range(4):
        now_ms = NOW_MS + number * LIMITS.cooldown_ms
        newer = [make_claim(f"0xm{n % 2}", f"n{number}-{n}") for n in range(4)]
        others = [make_claim(f"0xm{n % 2}", f"o{number}-{n}", counted=False) for n in range(4)]
        results = await asyncio.gather(
            *(store.claim(each, LIMITS, now_ms) for each in newer),
            *(asyncio.to_thread(older.claim, each, now_ms) for each in others),
        )
        won = sum(each is True or each == Claimed() for each in results)
        account = table.account()
        assert won == min(2, LIMITS.max_positions - (len(account.claims) - won))
        assert len(account.claims) <= LIMITS.max_positions
        markets = [c.condition_id for c in account.claims.values() if c.state in UNRESOLVED]
        assert len(markets) == len(set(markets))
        for claim in account.claims.values():
            if claim.state in UNRESOLVED:
                assert await store.move(moved(claim, ClaimEvent.FOUND), claim)
        assert all(slot != claim.condition_id for slot, claim in table.account().claims.items())
