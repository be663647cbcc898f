"""`executor config --group`: the limits of a group, and what it counts."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from executor.commands.group_configuration import (
    GroupConfigurationSettings,
    change,
    setting,
)
from functions.adapters.dynamodb.store import DynamoStore
from functions.core.account import ClaimRefusal
from functions.core.collective_configuration import collective_limits_of
from functions.ports import Claimed, ClaimRefused
from runtime.settings import load_settings
from tests.executor.conftest import Command
from tests.support.account_builders import ACCOUNT, LIMITS, make_claim, now_ms

WHY = ("--why", "too much", "--who", "me@here")
GROUP = ("--group", "mine")
ITEM = "mine-paper"


async def test_what_was_typed_binds_every_claim_from_then_on(
    run: Command, store: DynamoStore
) -> None:
    await store.open_account()
    done = await run("config", "set", "collective_exposure_max_usd=5", *WHY, *GROUP)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[:3] == [
        f"group {ITEM}",
        "version 1 is in force:",
        "  collective_exposure_max_usd: none -> 5",
    ]
    group = store.group(ITEM)
    row = await group.configuration()
    assert row is not None
    assert (row.who, row.why) == ("me@here", "too much")
    first = collective_limits_of(row, ITEM)
    one = msgspec.structs.replace(make_claim("m1", age_ms=0), collective=ITEM)
    assert await store.claim(one, LIMITS, now_ms(), first) == Claimed()
    done = await run("config", "set", "collective_exposure_max_usd=2", *WHY, *GROUP)
    assert done.exit_code == 0, done.output
    two = msgspec.structs.replace(make_claim("m2", age_ms=0), collective=ITEM)
    refused = await store.claim(two, LIMITS, now_ms(), first)
    assert isinstance(refused, ClaimRefused)
    assert refused.reason is ClaimRefusal.COLLECTIVE_CHANGED
    shown = (await run("config", "show", *GROUP)).stdout
    assert "version 2 of" in shown
    assert "What all live claims of the group may have at stake." in shown


async def test_versions_are_compared_listed_and_brought_back(
    run: Command, store: DynamoStore
) -> None:
    await run("config", "set", "collective_exposure_max_usd=5", *WHY, *GROUP)
    await run("config", "set", "collective_daily_loss_limit_usd=7", *WHY, *GROUP)
    told = json.loads((await run("config", "diff", *GROUP, "--json")).stdout)
    assert told["changes"] == [
        {"name": "collective_daily_loss_limit_usd", "before": "none", "after": "7"}
    ]
    back = await run("config", "rollback", "1", *WHY, *GROUP)
    assert back.exit_code == 0, back.output
    assert "collective_daily_loss_limit_usd: 7 -> none" in back.stdout
    told = json.loads((await run("config", "history", *GROUP, "--json")).stdout)
    assert [each["version"] for each in told["versions"]] == [3, 2, 1]
    unknown = await run("config", "diff", "1", "9", *GROUP)
    assert (unknown.exit_code, unknown.stderr) == (2, "no version 9: there are 1 to 3\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("cooldown_s=60", *GROUP), "cooldown_s: no such setting of a group"),
        (("collective_exposure_max_usd=0", *GROUP), "collective_exposure_max_usd: Input should"),
        (("collective_exposure_max_usd=5", "--group", "a group"), "--group: at most 32"),
    ],
)
async def test_what_cannot_be_is_one_line_and_changes_nothing(
    run: Command, store: DynamoStore, words: tuple[str, ...], said: str
) -> None:
    done = await run("config", "set", *words, *WHY)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert await store.group(ITEM).state() is None


async def test_a_dry_run_opens_nothing(run: Command, store: DynamoStore) -> None:
    done = await run("config", "set", "collective_exposure_max_usd=5", *WHY, *GROUP, "--dry-run")
    assert "version 1 would change:" in done.stdout
    assert await store.group(ITEM).state() is None


async def test_a_stale_version_is_refused_and_shows_what_others_changed(
    run: Command, store: DynamoStore
) -> None:
    await run("config", "set", "collective_exposure_max_usd=5", *WHY, *GROUP)
    await run("config", "set", "collective_exposure_max_usd=6", *WHY, *GROUP)
    done = await run(
        "config", "set", "collective_exposure_max_usd=9", *WHY, *GROUP, "--version", "1"
    )
    assert done.exit_code == 2
    assert done.stderr == (
        "refused: version 2 is in force, not 1: me@here changed it (too much);"
        " meanwhile collective_exposure_max_usd: 5 -> 6\n"
    )


async def test_of_two_at_once_one_is_refused(store: DynamoStore) -> None:
    settings = load_settings(GroupConfigurationSettings)
    how = {"who": "me", "why": "x", "seen_version": 0, "dry_run": False}
    both = await asyncio.gather(
        *(
            change(settings, setting({"collective_exposure_max_usd": usd}), **how)
            for usd in ("5", "6")
        )
    )
    assert sorted(bool(each.refused) for each in both) == [False, True]


async def test_a_group_without_limits_says_how_they_are_made(
    run: Command, store: DynamoStore
) -> None:
    done = await run("config", "show", *GROUP)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"failed: the group {ITEM} has no limits yet")
    recounted = await run("config", "recount", *GROUP)
    assert recounted.exit_code == 1
    assert recounted.stderr.startswith(f"failed: there is no group {ITEM}")


async def test_a_recount_makes_it_what_the_claims_say(run: Command, store: DynamoStore) -> None:
    await store.open_account()
    group = store.group(ITEM)
    seen = await group.open(ACCOUNT)
    assert await group.correct(9_000_000, seen)
    done = await run("config", "recount", *GROUP)
    assert done.stdout.splitlines() == [f"group {ITEM}", "exposure 9 -> 0 USD"]
    state = await group.state()
    assert state is not None
    assert state.exposure_e6 == 0
