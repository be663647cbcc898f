"""The view Configuration over HTTP: nothing is lost, nobody is overwritten."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from executor.commands import configuration as commands
from executor.configuration_reports import Changed
from executor.console.configuration import ConfigurationView
from functions.core.collective_configuration import CollectiveConfiguration, collective_row
from functions.core.configuration import ConfigurationRow
from functions.strategy_trial import TRIAL_MAX_S
from strategies.book_imbalance import BookImbalance
from tests.support.configuration_builders import a_row, seed
from tests.support.console_app import ConsoleApp, console_app
from tests.support.fake_ports import MemoryStore

ACCOUNT = "book_imbalance_crypto-paper"
SLOW = """
from enum import StrEnum

from strategies.interface import Strategy
from strategies.parameters import StrategyParameters


class Slow(Strategy):
    name = "slow"
    Parameters = StrategyParameters

    class Reason(StrEnum):
        QUIET = "quiet"

    @staticmethod
    def decide(view, parameters, now_ms):
        while True:
            pass
"""
BAD = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def no_nats(monkeypatch: pytest.MonkeyPatch) -> None:
    async def told(_: Any, answer: Changed) -> Changed:
        return msgspec.structs.replace(answer, nudged=True)

    monkeypatch.setattr(commands, "told", told)


@asynccontextmanager
async def shown(**settings: Any) -> AsyncIterator[tuple[ConsoleApp, MemoryStore]]:
    store = MemoryStore(name=ACCOUNT)
    await seed(store)
    async with console_app(ConfigurationView, stores={ACCOUNT: store}, **settings) as console:
        await history(console)
        yield console, store


async def history(console: ConsoleApp) -> None:
    await console.read()
    for now in console.shared.accounts.of.values():
        await console.views[0]._read_history(now)


def form(**values: str) -> dict[str, str]:
    """As the page posts it, with all of its fields."""
    row = a_row(parameters=BookImbalance.Parameters())
    stored = json.loads(row.values) | json.loads(row.parameters)
    fields = {
        f"value.{name}": "" if value is None else str(value)
        for name, value in stored.items()
        if not isinstance(value, bool)
    }
    changed = {f"value.{name}": value for name, value in values.items()}
    return {"account": ACCOUNT, "version": "1", "why": "too quick", **fields, **changed}


def confirmation(page: str) -> dict[str, str]:
    """The hidden fields of what is to be confirmed."""
    section = page[page.index("What it would mean") : page.index("in force</button>")]
    return dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', section))


def in_force(store: MemoryStore) -> ConfigurationRow:
    return store.config_rows[max(store.config_rows)]


async def test_a_change_is_shown_first_and_then_made_with_who_and_why() -> None:
    async with shown() as (console, store):
        page = await console.page("/configuration")
        assert 'name="value.cooldown_s" value="300" step="any" min="0" max="86400"' in page
        page = await console.post(
            "/configuration/preview", **form(cooldown_s="60", imbalance_min="0.6")
        )
        assert "<code>cooldown_s</code>: 300 → <b>60</b>" in page
        assert 'name="value.cooldown_s" value="60"' in page
        assert len(store.config_rows) == 1
        posted = confirmation(page)
        assert posted == {
            "account": ACCOUNT,
            "version": "1",
            "why": "too quick",
            "value.cooldown_s": "60",
            "value.imbalance_min": "0.6",
        }
        page = await console.post("/configuration/set", **posted)
        assert "Version 2 is in force for every claim from now on. The workers are told." in page
        row = in_force(store)
        assert (row.version, row.why, row.who.endswith("(console)")) == (2, "too quick", True)
        assert json.loads(row.values)["cooldown_s"] == 60
        assert json.loads(row.parameters)["imbalance_min"] == 0.6
        assert "<code>cooldown_s</code>: 300 → <b>60</b>" in page  # in the history


async def test_a_bad_value_comes_back_with_its_sentence_and_nothing_is_lost() -> None:
    async with shown() as (console, store):
        page = await console.post(
            "/configuration/preview", 422, **form(max_positions="0", cooldown_s="77", why=BAD)
        )
        assert "Input should be greater than or equal to 1" in page
        assert 'name="value.max_positions" value="0"' in page
        assert 'name="value.cooldown_s" value="77"' in page
        assert 'name="why" value="too quick"' in page
        assert len(store.config_rows) == 1
        for why in ("", "x" * 5_000):
            page = await console.post(
                "/configuration/preview", 422, **{**form(cooldown_s="77"), "why": why}
            )
            assert 'name="value.cooldown_s" value="77"' in page
            assert 'aria-describedby="configuration-why-mistake"' in page


async def test_who_was_overtaken_is_told_by_whom_and_keeps_what_was_typed() -> None:
    async with shown() as (console, store):
        page = await console.post("/configuration/preview", **form(cooldown_s="60"))
        posted = confirmation(page)
        other = a_row(2, parameters=BookImbalance.Parameters(), max_positions=7, why=BAD)
        assert await store.set_configuration(other, 1)
        page = await console.post("/configuration/set", 409, **posted)
        assert "version 2 is in force, not 1: tester@here changed it" in page
        assert "Meanwhile: max_positions: 3 → 7." in page
        assert "<script>alert" not in page
        assert 'name="value.cooldown_s" value="60"' in page
        assert 'name="version" value="2"' in page
        assert len(store.config_rows) == 2


async def test_an_earlier_version_is_put_in_force_again_after_it_was_shown() -> None:
    async with shown() as (console, store):
        later = a_row(2, parameters=BookImbalance.Parameters(), max_positions=7)
        assert await store.set_configuration(later, 1)
        await history(console)
        page = await console.page(f"/configuration?account={ACCOUNT}")
        assert '<option value="1">version 1</option>' in page
        asked = {"account": ACCOUNT, "version": "2", "to": "1", "why": "it was better"}
        page = await console.post("/configuration/preview-rollback", **asked)
        assert "<code>max_positions</code>: 7 → <b>3</b>" in page
        page = await console.post("/configuration/rollback", **confirmation(page))
        assert "Version 3 is in force" in page
        assert json.loads(in_force(store).values)["max_positions"] == 3
        for to in ("", "9", "-1", "x" * 50):
            await console.post("/configuration/preview-rollback", 409, **{**asked, "to": to})


async def test_a_store_that_does_not_answer_is_said_and_the_form_stays() -> None:
    async with shown() as (console, store):
        page = await console.post("/configuration/preview", **form(cooldown_s="60"))
        store.lost["set_configuration"] = 1
        page = await console.post("/configuration/set", 409, **confirmation(page))
        assert "NOT KNOWN whether the configuration is changed now" in page
        assert "Nothing is changed" not in page
        store.failures["configuration"] = 1
        page = await console.post("/configuration/preview", 409, **form(cooldown_s="60"))
        assert "Nothing is changed." in page
        assert 'name="value.cooldown_s" value="60"' in page


async def test_posts_that_no_form_of_ours_makes_change_nothing() -> None:
    async with shown() as (console, store):
        told = {"account": ACCOUNT, "version": "1", "why": "w"}
        await console.post("/configuration/set", 404, **{**told, "account": "x"})
        await console.post("/configuration/set", 409, **{**told, "version": "0x1"})
        await console.post("/configuration/set", 409, **{**told, "value.nothing": "1"})
        await console.post("/configuration/set", 422, **{**told, "value.max_positions": BAD})
        page = await console.post("/configuration/set", **told)
        assert "Nothing to change: version 1 says so already." in page
        assert len(store.config_rows) == 1
        assert "Configuration" in await console.page("/configuration/preview")


async def test_a_slow_strategy_does_not_hold_the_console(tmp_path: Path) -> None:
    file = tmp_path / "slow.py"
    file.write_text(SLOW)
    store = MemoryStore(name="mine-paper")
    await store.set_configuration(a_row(strategy="slow"), 0)
    async with console_app(
        ConfigurationView, stores={"mine-paper": store}, strategies=f"mine={file}"
    ) as console:
        told = {"account": "mine-paper", "version": "1", "why": "w", "value.cooldown_s": "60"}
        began_s = time.thread_time()
        page = await console.post("/configuration/set", 409, **told)
        assert time.thread_time() - began_s < TRIAL_MAX_S / 2
        assert "slow: does not answer within 0.25 s" in page
        assert len(store.config_rows) == 1


async def test_read_only_shows_all_and_offers_nothing() -> None:
    async with shown(console_read_only=True) as (console, _):
        page = await console.page("/configuration")
        assert "<code>cooldown_s</code>" in page
        assert "<button" not in page[page.index("<main") :]
        await console.post("/configuration/preview", 403, **form(cooldown_s="60"))


async def test_without_a_configuration_or_a_strategy_the_page_says_so() -> None:
    empty = {ACCOUNT: MemoryStore(name=ACCOUNT)}
    async with console_app(ConfigurationView, stores=empty) as console:
        assert "the first worker that starts makes version 1" in await console.page(
            "/configuration"
        )
    store = MemoryStore(name="mine-paper")
    await seed(store)
    async with console_app(
        ConfigurationView, stores={"mine-paper": store}, strategies="mine=./nowhere.py"
    ) as console:
        page = await console.page("/configuration")
        assert "nowhere.py: cannot be read" in page
        told = {"account": "mine-paper", "version": "1", "why": "w", "value.cooldown_s": "1"}
        await console.post("/configuration/preview", 409, **told)
        await console.post("/configuration/set", 409, **told)


async def test_the_history_and_the_group_are_read_beside_the_page() -> None:
    store = MemoryStore(name=ACCOUNT)
    await seed(store)
    stores = {ACCOUNT: store}
    async with console_app(ConfigurationView, stores=stores, run_views=True) as console:
        await console.shown("/events/configuration", "configuration-history", "because")
        await console.shown("/events/configuration", "configuration-group", "No group counts")


async def test_the_limits_of_the_group_stand_beside_the_accounts() -> None:
    store = MemoryStore(name=ACCOUNT)
    await seed(store)
    group = store.group("group-paper")
    group.members[ACCOUNT] = store
    limits = CollectiveConfiguration(collective_exposure_max_usd=Decimal(50))
    row = collective_row(limits, version=1, who="w", why="w", made_at_ms=1)
    await group.open(ACCOUNT)
    assert await group.set_configuration(row, 0)
    async with console_app(ConfigurationView, stores={ACCOUNT: store}) as console:
        await console.views[0]._groups.read()
        page = await console.page("/configuration")
        assert "group-paper, version 1" in page
        assert "50.00" in page
