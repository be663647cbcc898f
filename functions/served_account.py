"""One account of a worker at work: what trades for it, and what runs beside.

Its trouble is its own: nothing in here ends the worker or another account. A line of the log that
is written on its behalf names it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import structlog
from nats.aio.client import Client

from functions.adapters.configuration_nudge import follow_nudges
from functions.adapters.decision_publisher import DecisionPublisher
from functions.adapters.durable_consumer import DurableConsumer
from functions.handlers.trading_account import OpenedAccount, WorkerParts, trading_account
from functions.worker_consumers import decision_consumer, fill_consumer
from runtime.process import first_failure

_log = structlog.get_logger()

Problem: TypeAlias = Callable[[], str | None]
"""What is wrong, in one sentence for a person, None when nothing is."""


class ServedAccount:
    """`trading` decides and orders; `run` is what is done beside the books."""

    def __init__(
        self, opened: OpenedAccount, parts: WorkerParts, nc: Client, replicas: int = 1
    ) -> None:
        metrics, store = parts.metrics.accounts[opened.name], opened.store
        self._nc = nc
        self._publisher = DecisionPublisher(nc, opened.name, metrics)
        self.trading = trading_account(opened, parts, self._publisher.offer)
        self._consumers: list[DurableConsumer[Any]] = [
            decision_consumer(nc, opened.name, store, metrics, replicas)
        ]
        if opened.wallet:  # the venue reports no trades of paper orders
            self._consumers.append(
                fill_consumer(nc, opened.name, store, metrics, replicas, opened.wallet)
            )
        self._ended: str | None = None
        self._group = opened.group
        self._problems: tuple[Problem, ...] = (
            lambda: self._ended,
            self.trading.follower.problem,
            *([] if self._group is None else [self._group.problem]),
            *(each.problem for each in self._consumers),
            opened.problem_of_store,
            opened.exchange.problem,
            self.trading.evaluator.problem,
        )

    @property
    def name(self) -> str:
        """Of the account."""
        return self.trading.name

    def problem(self) -> str | None:
        """What keeps this account from trading, or from knowing what it has traded."""
        return next(filter(None, (ask() for ask in self._problems)), None)

    async def run(self, *, alone: bool) -> None:
        """Until cancelled. A defect ends this account alone, unless it is `alone`: then it is
        raised, and the worker is started again."""
        structlog.contextvars.bind_contextvars(account=self.name)
        await follow_nudges(self._nc, self.name, self.trading.follower.look)
        if self._group is not None:
            await follow_nudges(self._nc, self._group.name, self._group.look)
        try:
            await first_failure(
                *([] if self._group is None else [self._group.run()]),
                self._publisher.run(),
                self.trading.follower.run(),
                self.trading.opened.store.upkeep(),
                *(each.run() for each in self._consumers),
            )
        except Exception as error:
            if alone:
                raise
            # What it has under way is stored, and reconciliation finds out the rest.
            self._ended = f"ended by a defect: {type(error).__name__}; start the worker again"
            _log.critical("account_ended", exc_info=error)
            await asyncio.Event().wait()

    async def drain(self, timeout_s: float) -> None:
        """Publish what has been decided, as far as there is time."""
        await self._publisher.drain(timeout_s)
