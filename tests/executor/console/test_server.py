"""Pages, streams and the header, over HTTP."""

from __future__ import annotations

from contextlib import aclosing

from executor.console.health import HealthView
from tests.support.console_app import ScriptedView, console_app
from tests.support.fake_ports import MemoryStore


async def test_a_view_is_served_and_its_stream_tells_what_changes() -> None:
    async with console_app(ScriptedView, HealthView) as console:
        view = console.views[0]
        assert "Scripted · Executor" in await console.page("/scripted")
        view.now = {"scripted-a": "1", "scripted-b": "2"}
        async with aclosing(console.events("/events/scripted?x=1")) as events:
            first = await anext(events)
            assert first["parts"]["scripted-a"] == "1"
            assert "trading" in first["parts"]["console-accounts"]
            view.now = {"scripted-a": "1", "scripted-b": "3"}
            while not (event := await anext(events))["parts"]:
                pass
            assert event["parts"] == {"scripted-b": "3"}


async def test_halt_and_resume_from_the_header() -> None:
    store = MemoryStore(name="one")
    async with console_app(
        HealthView, stores={"one-paper": store}, strategies="one=book_imbalance_crypto"
    ) as console:
        text = await console.post("/halt", account="one-paper")
        assert "HALTED: console" in text
        assert "one-paper: HALTED. No new order is made." in text
        assert store.item is not None
        halt_id = store.item.halt_id
        text = await console.post("/resume", account="one-paper", halt_id=halt_id)
        assert "tick the reason" in text
        text = await console.post("/resume", account="one-paper", halt_id=halt_id, lift="yes")
        assert "trading again" in text
