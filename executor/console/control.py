"""Halting and resuming, from the header of every page."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from aiohttp import web

from executor.console.view import Shared
from functions.core.account import TRADING_ENABLED, Account
from functions.handlers import control
from functions.handlers.control import NotDoneError
from functions.ports import Store, StoreError
from runtime.addresses import origins
from runtime.output import one_line

REASON: Final = "console"
TIMEOUT_S: Final = 20.0
LOOK_TIMEOUT_S: Final = 2.0


class HaltAndResume:
    """The POSTs `/halt` and `/resume`. Forms: `account` (halt: empty is all), and to resume
    also `halt_id` (of the halt that was shown) and `lift` (`yes`)."""

    def __init__(self, shared: Shared, views: Sequence[str]) -> None:
        self._shared, self._views = shared, views

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Both."""
        return (web.post("/halt", self._halt), web.post("/resume", self._resume))

    async def _halt(self, request: web.Request) -> web.Response:
        form = await request.post()
        named = str(form.get("account", ""))
        names = list(self._shared.accounts.of) if not named else self._known(named)
        told = await asyncio.gather(*(self._bounded(name, self._halted(name)) for name in names))
        failed = any(not done for done, _ in told)
        raise self._back(request, " ".join(text for _, text in told), failed=failed)

    async def _resume(self, request: web.Request) -> web.Response:
        form = await request.post()
        (name,) = self._known(str(form.get("account", "")))
        halt_id = str(form.get("halt_id", ""))
        if form.get("lift") != "yes":
            text = f"{name}: not resumed: tick the reason that you lift."
            raise self._back(request, text, failed=True)
        done, text = await self._bounded(name, self._resumed(name, halt_id))
        raise self._back(request, text, failed=not done)

    async def _halted(self, name: str) -> str:
        store = self._shared.stores[name]
        before = await self._seen(store)
        if before is not None and before.trading != TRADING_ENABLED:
            # Its reason is worth more than ours.
            return f"{name}: halted already: {before.halt_reason or 'no reason given'}."
        account = await control.halt(store, REASON)
        return f"{name}: HALTED. No new order is made. {control.still_there(account)}".strip()

    @staticmethod
    async def _seen(store: Store) -> Account | None:
        """The account; what cannot be read, or is not there yet, is halted all the same."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                return await store.account()
        except (StoreError, TimeoutError):
            return None

    async def _resumed(self, name: str, halt_id: str) -> str:
        before, _ = await control.resume(self._shared.stores[name], halt_id)
        return f"{name}: trading again. Lifted: {before.halt_reason or 'a halt without a reason'}."

    async def _bounded(self, name: str, asked: Coroutine[Any, Any, str]) -> tuple[bool, str]:
        """Whether it was done, and a sentence."""
        if name not in self._shared.stores:
            asked.close()
            return False, f"{name}: NOT DONE: the store is not open."
        try:
            async with asyncio.timeout(TIMEOUT_S):
                text, done = await asked, True
        except (NotDoneError, StoreError) as error:
            text, done = f"{name}: {one_line(origins(str(error)))}.", False
        except TimeoutError:
            text, done = f"{name}: NOT KNOWN: no answer within {TIMEOUT_S:g} s.", False
        await self._shared.accounts.read(name)
        return done, text

    def _known(self, name: str) -> list[str]:
        if name not in self._shared.accounts.of:
            raise web.HTTPNotFound
        return [name]

    def _back(self, request: web.Request, text: str, *, failed: bool) -> web.HTTPSeeOther:
        """To the page that the form stands on, if it is a view's."""
        referer = request.headers.get("Referer", "")
        asked = referer.removeprefix(f"{request.headers.get('Origin')}/")
        view = asked.partition("?")[0].partition("/")[0]
        path = asked if asked != referer and view in self._views else ""
        return self._shared.messages.see(f"/{path}", text, failed=failed)
