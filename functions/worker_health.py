"""What a worker's /healthz says: what keeps it from trading, and which account alone is in trouble.

A worker is unwell when nothing trades: something is missing that all need, or every account is in
trouble. With some in trouble and others not it is well and says so, because whoever starts an
unwell worker again stops the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from functions.served_account import Problem, ServedAccount
from functions.worker_metrics import WorkerMetrics

LOOK_EVERY_S: Final = 10.0
_log = structlog.get_logger()


class WorkerHealth:
    """Asked by the health server; filled as the worker starts."""

    def __init__(self) -> None:
        self.of_all: tuple[Problem, ...] = ()
        """What all accounts need, in the order in which it is told."""
        self.unopened: Callable[[], Mapping[str, str]] = dict
        """Accounts that could not be opened yet, and why."""
        self.on_served: Callable[[], None] = lambda: None
        """Called once when books can be taken."""
        self.serves = False
        self._accounts: Sequence[ServedAccount] = ()
        self._told: set[str] = set()

    def serve(self, accounts: Sequence[ServedAccount], *of_all: Problem) -> None:
        """From now on books are taken for these; `accounts` may become more."""
        self._accounts = accounts
        self.of_all += of_all
        self.serves = True
        self.on_served()

    def problem(self) -> str | None:
        """Why it does not trade at all, None when it does."""
        of_all = next(filter(None, (ask() for ask in self.of_all)), None)
        if of_all is not None:
            return of_all
        troubled, unopened = self._troubled(), self.unopened()
        everyone = len(troubled) == len(self._accounts) + len(unopened)
        if len(troubled) == 1 and everyone:
            return next(iter(troubled.values()))
        return _said(troubled) if everyone else None

    def remark(self) -> str | None:
        """Which accounts are in trouble."""
        return _said(self._troubled())

    async def watch(self, metrics: WorkerMetrics) -> None:
        """Say in log and metrics whose trouble has begun, and whose is over, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            troubled = self._troubled()
            for name, each in metrics.accounts.items():
                each.in_trouble.set(name in troubled)
            for name in sorted(troubled.keys() - self._told):
                _log.error("account_in_trouble", account=name, problem=troubled[name])
            for name in sorted(self._told - troubled.keys()):
                _log.info("account_well_again", account=name)
            self._told = set(troubled)

    def _troubled(self) -> dict[str, str]:
        served = {each.name: each.problem() for each in self._accounts}
        return {name: why for name, why in served.items() if why} | dict(self.unopened())


def _said(troubled: Mapping[str, str]) -> str | None:
    return "; ".join(f"account {name}: {why}" for name, why in troubled.items()) or None
