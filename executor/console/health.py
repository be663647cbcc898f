"""The view Health: what runs, what is out of reach, and what a person must look at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from executor.console.view import Query, Shared


class HealthView:
    """See the top of this module."""

    name, title, template = "health", "Health", "health.html"

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def variables(self, query: Query) -> dict[str, Any]:
        """What the page shows."""
        return {"processes": self._processes()}

    def parts(self, query: Query) -> dict[str, str]:
        """What of it changes."""
        part = self._shared.pages.part
        return {
            "health-processes": part("health_parts.html", "processes", processes=self._processes())
        }

    def data_at_ms(self) -> int:
        """Of the accounts, which are read every second."""
        return self._shared.accounts.read_at_ms()

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """None yet."""
        return ()

    async def run(self) -> None:
        """Nothing beside the requests."""
        await asyncio.Event().wait()

    def _processes(self) -> list[Any]:
        system = self._shared.system()
        return [] if system is None else list(system.processes)
