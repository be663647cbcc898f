"""The application: pages of views, their streams, static files, and the header of every page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from executor.console.control import HaltAndResume
from executor.console.security import BODY_BYTES_MAX, Door
from executor.console.stream import Streams
from executor.console.view import Query, Shared, View

HOME: Final = "/markets"
_NO_PAGES: Final = ("/static/", "/open")
_STATIC: Final = Path(__file__).parent / "static"
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def console_app(shared: Shared, views: Sequence[View], door: Door) -> web.Application:
    """Everything that is served. Nothing runs yet."""
    app = web.Application(
        middlewares=[door.middleware, _noticing(shared, views)], client_max_size=BODY_BYTES_MAX
    )
    app.on_response_prepare.append(door.add_headers)
    header = _Header(shared, views)
    shared.pages.base = header.variables
    streams = Streams(header.parts, shared.now_ms)
    app.on_shutdown.append(streams.close)
    app.add_routes(door.routes())
    app.add_routes([web.get("/", _home(views)), web.get("/static/{name}", _static())])
    app.add_routes(HaltAndResume(shared, [view.name for view in views]).routes())
    for view in views:
        app.add_routes([web.get(f"/{view.name}", _page(shared, view)), *view.routes()])
    for view in (*views, _Around(shared)):
        app.add_routes([web.get(f"/events/{view.name}", _events(streams, view), allow_head=False)])
    return app


class _Header:
    """What stands on every page: the accounts with halt and resume, and what is out of reach."""

    def __init__(self, shared: Shared, views: Sequence[View]) -> None:
        self._shared = shared
        self._nav = tuple((view.name, view.title) for view in views)

    def variables(self) -> dict[str, Any]:
        """For `base.html`."""
        now_ms, accounts = self._shared.now_ms(), self._shared.accounts
        return {
            "nav": self._nav,
            "accounts": list(accounts.of.values()),
            "troubles": self._troubles(),
            "read_only": self._shared.settings.console_read_only,
            "now_ms": now_ms,
            "data_at_ms": accounts.read_at_ms(),
            "events": "/events/page",
        }

    def parts(self) -> dict[str, str]:
        """For every stream."""
        accounts = list(self._shared.accounts.of.values())
        read_only = self._shared.settings.console_read_only
        part = self._shared.pages.part
        return {
            "console-accounts": part(
                "header_parts.html",
                "accounts",
                accounts=accounts,
                read_only=read_only,
                now_ms=self._shared.now_ms(),
            ),
            "console-troubles": part("header_parts.html", "troubles", troubles=self._troubles()),
        }

    def _troubles(self) -> list[str]:
        of = self._shared.accounts.of.values()
        unread = [f"{each.name}: not read: {each.error}" for each in of if each.error]
        return [each for each in (self._shared.nats_problem(), *unread) if each]


class _Around:
    """The stream of pages that are no view's: their header alone."""

    name, title, template = "page", "", ""

    def __init__(self, shared: Shared) -> None:
        self._accounts = shared.accounts

    def variables(self, query: Query) -> dict[str, Any]:
        return {}

    def parts(self, query: Query) -> dict[str, str]:
        return {}

    def data_at_ms(self) -> int:
        return self._accounts.read_at_ms()

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return ()

    async def run(self) -> None:
        """There is nothing to do."""


def _noticing(shared: Shared, views: Sequence[View]) -> Any:
    """Around every page and stream: who comes when nobody was there sees what is so now."""
    names = {view.name for view in views}

    @web.middleware
    async def noticing(request: web.Request, handler: Any) -> Any:
        # Halt waits for nothing, and for who was not let in nothing is read.
        if request.method not in ("GET", "HEAD") or request.path.startswith(_NO_PAGES):
            return await handler(request)
        if not shared.audience.looks_at():
            await shared.accounts.read_first()
        name = request.path.removeprefix("/events").split("/")[1]
        with shared.audience.looking(name if name in names else _Around.name):
            return await handler(request)

    return noticing


def _home(views: Sequence[View]) -> Any:
    names = [f"/{view.name}" for view in views]

    async def home(request: web.Request) -> web.Response:
        path = HOME if HOME in names else names[0]
        raise web.HTTPSeeOther(f"{path}{_encoded(request.query)}")

    return home


def _page(shared: Shared, view: View) -> Any:
    async def page(request: web.Request) -> web.Response:
        query = dict(request.query)
        message = shared.messages.take(query)
        given: Mapping[str, Any] = {
            "view": view.name,
            "title": view.title,
            "events": f"/events/{view.name}{_encoded(query)}",
            "message": message,
            "data_at_ms": view.data_at_ms(),
            **view.variables(query),
        }
        text = shared.pages.render(view.template, **given)
        return web.Response(text=text, content_type="text/html")

    return page


def _encoded(query: Mapping[str, str]) -> str:
    return f"?{urlencode(query)}" if query else ""


def _events(streams: Streams, view: View) -> Any:
    async def events(request: web.Request) -> web.StreamResponse:
        return await streams.serve(request, view)

    return events


def _static() -> Any:
    """From memory, by name: no request reaches the file system."""
    files = {
        path.name: (path.read_bytes(), _TYPES[path.suffix])
        for path in sorted(_STATIC.iterdir())
        if path.suffix in _TYPES
    }

    async def static(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in files:
            raise web.HTTPNotFound
        body, kind = files[name]
        return web.Response(body=body, content_type=kind, charset="utf-8")

    return static
