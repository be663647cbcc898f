"""`executor config`: what is stored is what a person has typed, and nobody is overwritten."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from executor.commands.configuration import ConfigurationSettings, change, setting
from functions.adapters.dynamodb.store import DynamoStore
from functions.core.account import Account, ClaimRefusal, Limits
from functions.core.configuration import ConfigurationRow
from functions.ports import Claimed, ClaimRefused
from functions.strategy_loading import load_strategy
from protocol.subjects import config_subject
from runtime.nats import connect
from runtime.settings import load_settings
from strategies.book_imbalance import BookImbalance
from tests.executor.conftest import Command
from tests.support.account_builders import ACCOUNT, LIMITS, make_claim, now_ms
from tests.support.configuration_builders import a_row
from tests.support.servers import NatsServer
from tests.support.strategy_files import write_strategy

PARAMETERS = BookImbalance.Parameters()
WHY = ("--why", "too quick")


def row(version: int = 1, **changes: Any) -> ConfigurationRow:
    return a_row(version, parameters=PARAMETERS, **changes)


@pytest.fixture
async def seeded(store: DynamoStore) -> DynamoStore:
    await store.open_account()
    assert await store.set_configuration(row(), 0)
    return store


async def in_force(store: DynamoStore) -> dict[str, Any]:
    found = await store.configuration()
    assert found is not None
    return {**json.loads(found.values), **json.loads(found.parameters), "version": found.version}


async def test_what_was_typed_is_in_force_with_who_and_why(
    run: Command, seeded: DynamoStore
) -> None:
    done = await run(
        "config", "set", "cooldown_s=60", "imbalance_min=0.6", *WHY, "--who", "me@here"
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[:4] == [
        f"account {ACCOUNT} (paper)",
        "version 2 is in force:",
        "  cooldown_s: 300 -> 60",
        "  imbalance_min: 0.5 -> 0.6",
    ]
    assert "workers find out within 10 s" in done.stdout
    now = await in_force(seeded)
    assert (now["cooldown_s"], now["imbalance_min"], now["version"]) == (60.0, 0.6, 2)
    stored = await seeded.configuration()
    assert stored is not None
    assert (stored.who, stored.why) == ("me@here", "too quick")
    shown = (await run("config", "show")).stdout
    assert "by me@here: too quick" in shown
    assert "How many levels of each side count." in shown
    assert "Live claims at once." in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("cooldown=60",), "cooldown: no such setting; did you mean cooldown_s?"),
        (("zzz=60",), "zzz: no such setting; there is: max_positions"),
        (("max_positions=0",), "max_positions: Input should be greater than or equal to 1"),
        (("max_positions=two",), "max_positions: Input should be a valid integer"),
        (("cooldown_s=nan",), "cooldown_s: Input should be a finite number"),
        (("levels=0",), "levels: Input should be greater than or equal to 1"),
        (("size_usd=201",), "size_usd: more than DAILY_SPEND_CAP_USD"),
        (("cooldown_s",), "'cooldown_s': NAME=VALUE is wanted"),
        (("levels=1", "levels=2"), "levels: given twice"),
    ],
)
async def test_what_cannot_be_is_one_line_and_changes_nothing(
    run: Command, seeded: DynamoStore, words: tuple[str, ...], said: str
) -> None:
    done = await run("config", "set", *words, *WHY)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert await seeded.configuration() == row()


async def test_parameters_that_the_strategy_has_outgrown_are_mended_by_set(
    run: Command, store: DynamoStore
) -> None:
    await store.open_account()
    stored = {**PARAMETERS.model_dump(), "imbalance_min": 9.0, "gone": 1.5}
    old = msgspec.structs.replace(row(), parameters=json.dumps(stored))
    assert await store.set_configuration(old, 0)
    left = await run("config", "set", "cooldown_s=60", *WHY)
    assert (left.exit_code, left.stderr.count("\n")) == (2, 1)
    assert left.stderr.startswith("imbalance_min: Input should be less than or equal to 1")
    done = await run("config", "set", "imbalance_min=0.6", *WHY)
    assert done.exit_code == 0, done.output
    assert "  imbalance_min: 9 -> 0.6\n" in done.stdout
    assert "  gone: 1.5 -> -\n" in done.stdout
    assert "gone" not in await in_force(store)
    assert (await run("config", "show")).exit_code == 0


async def test_parameters_with_which_the_strategy_raises_are_refused(
    run: Command, store: DynamoStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_strategy(tmp_path, before="1 / (parameters.spread_max_ticks - 7)")
    monkeypatch.setenv("STRATEGIES", f"{ACCOUNT.removesuffix('-paper')}={path}")
    await store.open_account()
    mine = load_strategy(str(path))
    first = a_row(1, parameters=mine.Parameters(), strategy="mine")
    assert await store.set_configuration(first, 0)
    done = await run("config", "set", "spread_max_ticks=7", *WHY)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "ZeroDivisionError" in done.stderr
    assert await store.configuration() == first
    assert (await run("config", "set", "spread_max_ticks=6", *WHY)).exit_code == 0


@pytest.mark.parametrize("words", [("set", "cooldown_s=1"), ("rollback", "1")])
async def test_a_reason_is_wanted(run: Command, seeded: DynamoStore, words: tuple[str]) -> None:
    assert (await run("config", *words)).exit_code == 2
    blank = await run("config", *words, "--why", " ")
    assert (blank.exit_code, blank.stderr.partition(":")[0]) == (2, "--why")
    assert await seeded.configuration() == row()


async def test_a_stale_version_is_refused_and_shows_what_others_changed(
    run: Command, seeded: DynamoStore
) -> None:
    assert await seeded.set_configuration(row(2, cooldown_s=10, who="else@where", why="slow"), 1)
    done = await run("config", "set", "max_positions=1", "--version", "1", *WHY)
    assert done.exit_code == 2
    assert done.stderr == (
        "refused: version 2 is in force, not 1: else@where changed it (slow);"
        " meanwhile cooldown_s: 300 -> 10\n"
    )
    told = json.loads(
        (await run("config", "set", "max_positions=1", "--version", "1", *WHY, "--json")).stdout
    )
    assert told["others"] == [{"name": "cooldown_s", "before": "300", "after": "10"}]
    assert (await in_force(seeded))["version"] == 2
    assert (await run("config", "set", "max_positions=1", "--version", "2", *WHY)).exit_code == 0


async def test_of_changes_at_the_same_moment_one_is_made_and_the_others_see_it(
    seeded: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_have_read, account = asyncio.Barrier(3), DynamoStore.account

    async def account_with_the_others(store: DynamoStore) -> Account:
        await all_have_read.wait()
        return await account(store)

    monkeypatch.setattr(DynamoStore, "account", account_with_the_others)
    settings = load_settings(ConfigurationSettings)
    answers = await asyncio.gather(
        *(
            change(
                settings,
                setting({"cooldown_s": str(number)}),
                who="me",
                why=f"{number} s",
                seen_version=None,
                dry_run=False,
            )
            for number in (5, 6, 7)
        )
    )
    [made] = [each for each in answers if not each.refused]
    lost = [each for each in answers if each.refused]
    cooldown = made.changes[0].after
    assert (await in_force(seeded))["cooldown_s"] == float(cooldown)
    for each in lost:
        assert each.version == 2
        assert f"({cooldown} s)" in each.refused
        assert [(d.name, d.after) for d in each.others] == [("cooldown_s", cooldown)]


async def test_a_dry_run_says_what_it_means_for_what_is_held_and_changes_nothing(
    run: Command, seeded: DynamoStore
) -> None:
    limits = msgspec.structs.replace(LIMITS, config_version=1)
    for market in ("m1", "m2"):
        assert await seeded.claim(make_claim(market, age_ms=0), limits, now_ms()) == Claimed()
    words = ("max_positions=1", "daily_spend_cap_usd=3", "cooldown_s=1", "--dry-run", *WHY)
    done = await run("config", "set", *words)
    assert done.exit_code == 0, done.output
    assert "version 2 would change:" in done.stdout
    assert "2 positions are held, 1 more than the new maximum of 1: none is sold" in done.stdout
    assert "2.20 USD are spent today: no order has room until 00:00 UTC" in done.stdout
    assert "2 cooldowns run and end as they began" in done.stdout
    assert await seeded.configuration() == row()
    told = json.loads((await run("config", "set", *words, "--json")).stdout)
    assert told["effects"]["positions_over"] == 1
    assert told["effects"]["spend_room_e6"] == 800_000


async def test_after_a_change_no_claim_is_taken_under_the_version_before(
    run: Command, seeded: DynamoStore
) -> None:
    def under(version: int) -> Limits:
        return msgspec.structs.replace(LIMITS, config_version=version)

    assert await seeded.claim(make_claim("m1", age_ms=0), under(1), now_ms()) == Claimed()
    assert (await run("config", "set", "max_positions=1", *WHY)).exit_code == 0
    refused = await seeded.claim(make_claim("m2", age_ms=0), under(1), now_ms())
    assert isinstance(refused, ClaimRefused)
    assert refused.reason is ClaimRefusal.CONFIG_CHANGED


async def test_nothing_to_change_makes_no_version(run: Command, seeded: DynamoStore) -> None:
    done = await run("config", "set", "cooldown_s=300.0", "max_entries_per_market=none", *WHY)
    assert done.exit_code == 0
    assert "nothing to change: version 1 says so already" in done.stdout
    assert await seeded.configuration() == row()


async def test_a_rollback_is_a_new_version_with_the_old_values(
    run: Command, seeded: DynamoStore
) -> None:
    assert (await run("config", "set", "cooldown_s=60", "levels=3", *WHY)).exit_code == 0
    assert (await run("config", "set", "max_positions=9", *WHY)).exit_code == 0
    back = await run("config", "rollback", "1", "--why", "worse")
    assert back.exit_code == 0, back.output
    assert "  levels: 3 -> 5" in back.stdout
    stored = await seeded.configuration()
    assert stored is not None
    assert (stored.version, stored.values, stored.parameters) == (
        4,
        row().values,
        row().parameters,
    )
    gone = await run("config", "rollback", "9", "--why", "worse")
    assert (gone.exit_code, gone.stderr) == (2, "no version 9: there are 1 to 4\n")


async def test_history_and_differences(run: Command, seeded: DynamoStore) -> None:
    assert (await run("config", "set", "cooldown_s=60", *WHY)).exit_code == 0
    assert (await run("config", "set", "max_positions=1", *WHY)).exit_code == 0
    lines = (await run("config", "history")).stdout.splitlines()
    assert lines[2].startswith("3 *")
    assert "max_positions: 3 -> 1" in lines[2]
    told = json.loads((await run("config", "history", "--limit", "1", "--json")).stdout)
    [version] = told["versions"]
    assert version["changes"] == [{"name": "max_positions", "before": "3", "after": "1"}]
    assert "max_positions: 3 -> 1" in (await run("config", "diff")).stdout
    both = (await run("config", "diff", "1", "3")).stdout
    assert "cooldown_s: 300 -> 60" in both
    assert "max_positions: 3 -> 1" in both
    assert "no difference" in (await run("config", "diff", "2", "2")).stdout


async def test_before_the_first_worker_there_is_nothing(run: Command, store: DynamoStore) -> None:
    await store.open_account()
    for words in (("show",), ("set", "cooldown_s=1", *WHY), ("history",), ("diff",)):
        done = await run("config", *words)
        assert done.exit_code == 1
        assert "the first worker that starts makes version 1" in done.stderr


async def test_the_configuration_of_another_strategy_is_one_line(
    run: Command, store: DynamoStore
) -> None:
    await store.open_account()
    assert await store.set_configuration(a_row(strategy="other"), 0)
    done = await run("config", "set", "cooldown_s=1", *WHY)
    assert done.exit_code == 2
    assert "this account is the strategy other's" in done.stderr


async def test_the_workers_are_told(
    run: Command, seeded: DynamoStore, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_URL", nats_server.url)
    client = await connect(nats_server.url, "listener")
    try:
        heard = await client.subscribe(config_subject(ACCOUNT))
        await client.flush()
        done = await run("config", "set", "cooldown_s=60", *WHY)
        assert "the workers are told" in done.stdout
        assert (await heard.next_msg(timeout=20)).data == b"2"
    finally:
        await client.close()
