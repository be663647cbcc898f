"""Pages, over HTTP."""

from __future__ import annotations

from functools import partial

import pytest

from executor.console.health import HealthView
from executor.console.security import Door
from executor.console.service import serving
from tests.support.console_app import ScriptedView, console_app


async def test_each_view_has_a_page_with_its_stream_and_all_views_to_go_to() -> None:
    async with console_app(ScriptedView, HealthView) as console:
        text = await console.page("/scripted?x=a%26b&x=c")
        assert "<title>Scripted · Executor</title>" in text
        assert 'data-events="/events/scripted?x=a%26b"' in text
        assert '<a href="/scripted" aria-current="page">' in text
        assert '<a href="/health">' in text
        assert '<script type="module" src="/static/app.js">' in text


async def test_the_first_page_is_the_markets() -> None:
    markets = partial(ScriptedView, name="markets")
    async with console_app(HealthView, markets) as console:
        assert "Markets · Executor" in await console.page("/")
    async with console_app(HealthView) as console:
        assert "Health · Executor" in await console.page("/")


async def test_static_files_have_their_types() -> None:
    async with console_app(HealthView) as console:
        for name, kind in (("app.js", "text/javascript"), ("style.css", "text/css")):
            async with console.browser.get(f"{console.url}/static/{name}") as told:
                assert (told.status, told.content_type) == (200, kind)


async def test_a_port_that_is_taken_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    async with console_app(HealthView) as console:
        port = int(console.url.rpartition(":")[2])
        settings = console.shared.settings.model_copy(update={"console_port": port})
        door = Door(settings, None, console.shared.pages)  # type: ignore[arg-type]  # never asked
        shared = type(console.shared)(**{**vars(console.shared), "settings": settings})
        with pytest.raises(SystemExit) as refused:
            async with serving(shared, [], door):
                pass
        assert refused.value.code == 2
    said = capfd.readouterr().err
    assert f"CONSOLE_PORT: {port} is taken" in said
    assert "executor console --link" in said
