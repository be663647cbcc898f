"""Halting and resuming from the header, over HTTP."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from executor.console import control
from executor.console.health import HealthView
from functions.handlers.control import NotDoneError, resume
from tests.support.console_app import ScriptedView, console_app
from tests.support.fake_ports import MemoryStore

ONE, TWO = "one-paper", "two-paper"
BOTH: dict[str, Any] = {"strategies": "one=book_imbalance_crypto,two=book_imbalance_crypto"}


def two_stores() -> dict[str, MemoryStore]:
    return {name: MemoryStore(name=name) for name in (ONE, TWO)}


def state(store: MemoryStore) -> tuple[str, str]:
    assert store.item is not None
    return store.item.trading, store.item.halt_reason


async def test_one_account_is_halted_with_one_click_and_resumed_by_its_reason() -> None:
    stores = two_stores()
    async with console_app(HealthView, stores=stores, **BOTH) as console:
        text = await console.post("/halt", account=ONE)
        assert f"{ONE}: HALTED. No new order is made." in text
        assert (state(stores[ONE]), state(stores[TWO])) == (
            ("halted", "console"),
            ("enabled", ""),
        )
        halt_id = stores[ONE].item.halt_id  # type: ignore[union-attr]
        assert "I lift this halt: “console”" in text
        assert f'name="halt_id" value="{halt_id}"' in text
        text = await console.post("/resume", account=ONE, halt_id=halt_id)
        assert "not resumed: tick the reason" in text
        assert state(stores[ONE])[0] == "halted"
        text = await console.post("/resume", account=ONE, halt_id=halt_id, lift="yes")
        assert f"{ONE}: trading again. Lifted: console." in text
        assert state(stores[ONE])[0] == "enabled"


async def test_a_newer_halt_is_not_lifted() -> None:
    stores = two_stores()
    await stores[ONE].halt("the one that was seen")
    async with console_app(HealthView, stores=stores, **BOTH) as console:
        await stores[ONE].halt("a newer one")
        text = await console.post("/resume", account=ONE, halt_id="1", lift="yes")
        assert "not resumed: somebody else has set trading to halted: a newer one" in text
        assert state(stores[ONE]) == ("halted", "a newer one")
    with pytest.raises(NotDoneError, match="a newer one"):
        await resume(stores[ONE], "1")
    await resume(stores[ONE], "2")
    assert state(stores[ONE])[0] == "enabled"


async def test_all_are_halted_at_once_and_each_says_what_became_of_it() -> None:
    stores = two_stores()
    await stores[TWO].halt("a reason of before")
    async with console_app(HealthView, stores=stores, **BOTH) as console:
        text = await console.post("/halt", account="")
        assert f"{ONE}: HALTED." in text
        assert f"{TWO}: halted already: a reason of before." in text
        assert state(stores[TWO]) == ("halted", "a reason of before")


async def test_what_cannot_be_read_first_is_halted_all_the_same() -> None:
    stores = two_stores()
    async with console_app(HealthView, stores=stores, **BOTH) as console:
        stores[ONE].failures["account"] = 1
        assert f"{ONE}: HALTED." in await console.post("/halt", account=ONE)


async def test_what_is_not_known_is_said() -> None:
    stores = two_stores()
    async with console_app(HealthView, stores=stores, **BOTH) as console:
        stores[ONE].lost["halt"] = 1
        text = await console.post("/halt", account=ONE)
        assert "NOT KNOWN whether trading is halted now" in text
        assert 'role="alert"' in text


async def test_a_store_that_hangs_or_is_not_open_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "TIMEOUT_S", 0.05)
    stores = two_stores()

    async def hang() -> None:
        await asyncio.Event().wait()

    async with console_app(HealthView, stores=stores, **BOTH) as console:
        stores[ONE].before["halt"] = hang
        assert "NOT KNOWN: no answer within 0.05 s" in await console.post("/halt", account=ONE)
    async with console_app(HealthView, stores={}, **BOTH) as console:
        assert "NOT DONE: the store is not open" in await console.post("/halt", account="")


async def test_the_answer_is_shown_where_the_form_stands() -> None:
    async with console_app(ScriptedView, HealthView, **BOTH) as console:
        for referer, wanted in (
            (f"{console.url}/health?a=%26b", "/health?a=%26b"),
            (f"{console.url}/health/x", "/health/x"),
            (f"{console.url}/other", "/"),
            (f"{console.url}//evil.example/health", "/"),
            ("http://evil.example/health", "/"),
            ("", "/"),
        ):
            headers = {"Origin": console.url, "Referer": referer}
            async with console.browser.post(
                f"{console.url}/halt", data={"account": ""}, headers=headers, allow_redirects=False
            ) as told:
                went = told.headers["Location"]
                assert (told.status, went.partition("message=")[0].rstrip("?&")) == (303, wanted)


async def test_what_was_read_long_ago_is_not_said_as_if_it_were_so() -> None:
    stores, clock_ms = two_stores(), [1_700_000_000_000]
    await stores[TWO].halt("why")
    async with console_app(
        HealthView, stores=stores, clock_ms=lambda: clock_ms[0], **BOTH
    ) as console:
        clock_ms[0] += 1_000
        assert "not read since" not in await console.page("/health")
        clock_ms[0] += 3_001
        for store in stores.values():
            store.failures["account"] = 10
        text = await console.page("/health")
        for state in ("was trading", "was HALTED"):
            assert f">{state} at 22:13:21: not read since<" in text
        assert ">trading<" not in text
        assert text.count('action="/halt"') == 2, "halting needs no reading"
        stores[ONE].failures.clear()
        await console.shared.accounts.read(ONE)
        assert ">trading<" in await console.page("/health")
        assert console.shared.accounts.read_at_ms() == clock_ms[0] - 3_001, "the other one's"


async def test_a_tick_is_of_the_halt_that_was_read_with_it() -> None:
    """The page puts ticks back after a change, by the box's id."""
    stores, boxes = two_stores(), []
    async with console_app(HealthView, stores=stores, **BOTH) as console:
        for reason in ("one", "another", "another"):
            await stores[ONE].halt(reason)
            await console.read()
            boxes += re.findall(r'id="(lift-\w+)"', await console.page("/health"))
    assert len(boxes) == len(set(boxes)) == 3
