"""The worker process: pull books, decide, execute. Stateless; run as many as wanted.

    python -m functions.worker

SIGTERM or SIGINT: stop pulling, finish the orders under way, exit 0 within ten seconds.
"""

from __future__ import annotations

if __name__ == "__main__":
    import runtime.starting  # noqa: F401 - first: it takes signals while the rest is imported

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, TypeAlias

import structlog

from functions.adapters.book_pull import BookPull
from functions.adapters.clob_markets import VenueClobMarkets
from functions.bootstrap import (
    exiting_when_misconfigured,
    reachable_stores,
    strategies_of,
    try_strategy,
)
from functions.core.clock_doubt import ClockDoubt
from functions.core.fencing import Fence
from functions.core.group import books_consumer
from functions.handlers.evaluate import CALL_LOOK_EVERY_S, STRATEGY_CALLS
from functions.handlers.trading_account import OpenedAccount, WorkerParts
from functions.handlers.verify_markets import MarketVerifier
from functions.served_account import ServedAccount
from functions.settings import WorkerSettings
from functions.worker_accounts import WorkerAccounts, WorkerExchanges
from functions.worker_clock import WorkerClock
from functions.worker_health import WorkerHealth
from functions.worker_loop import Worker
from functions.worker_metrics import WorkerMetrics
from protocol.subjects import BOOKS, DECISIONS, FILLS
from runtime.addresses import origins
from runtime.cloudwatch import reporting_to_cloudwatch
from runtime.health import health_server
from runtime.log import configure_logging
from runtime.nats import close, connect, declare_stream
from runtime.nats_client import NatsClient
from runtime.process import first_failure, freeze_heap, run_service, stop_tasks
from runtime.proxies import ignore_proxies
from runtime.retry import until_reachable
from runtime.settings import load_settings, refuse_to_start

_Loops: TypeAlias = Sequence[Coroutine[Any, Any, None]]
Joining: TypeAlias = Callable[[Callable[[OpenedAccount], Awaitable[None]]], _Loops]
"""Given what an account joins with: an endless loop for each that may come later."""
_log = structlog.get_logger()


async def serve(settings: WorkerSettings, worker_name: str) -> None:
    """Compose a worker and run it until cancelled. Exits 2 on what only a person can mend."""
    with exiting_when_misconfigured():
        strategies = strategies_of(settings)
    metrics = WorkerMetrics({name: each.Reason for name, each in strategies.items()})
    clock = WorkerClock(settings.max_book_age_ms, metrics)
    accounts, health = WorkerAccounts(settings, worker_name), WorkerHealth()
    nats_url = origins(settings.nats_url)
    nc: NatsClient | None = None

    def missing() -> str | None:
        if nc is None or not nc.is_connected:
            return f"not connected to NATS at {nats_url}"
        if accounts.waits_for is not None:
            return f"waiting for {accounts.waits_for}"
        return None if health.serves else f"waiting for JetStream at {nats_url}"

    def started() -> None:
        execution = "live" if settings.live else "paper"
        names = [entry.account for entry in settings.entries]
        _log.info("worker_started", accounts=names, execution=execution, metrics_port=metrics_port)

    health.of_all, health.on_served = (missing,), started
    async with AsyncExitStack() as stack:
        # Metrics and health first: a worker that waits for a dependency can be asked for which.
        serving = health_server(
            settings.metrics_host,
            settings.metrics_port,
            metrics.registry,
            health.problem,
            health.remark,
        )
        metrics_port = await stack.enter_async_context(serving)
        await stack.enter_async_context(
            reporting_to_cloudwatch(
                *(settings.cloudwatch_stage, "worker", metrics.cloudwatch),
                group=settings.group if "group" in settings.model_fields_set else None,
            )
        )
        nc = await connect(settings.nats_url, worker_name, settings.nats_login())
        stack.push_async_callback(close, nc)
        stores = await reachable_stores(settings, stack)
        clob_markets = VenueClobMarkets(settings.clob_url, settings.gamma_url)
        stack.push_async_callback(clob_markets.close)
        verifier = MarketVerifier(clob_markets, metrics)
        exchanges = WorkerExchanges(verifier)
        stack.push_async_callback(exchanges.close)
        health.unopened = accounts.problems
        await run_worker(
            settings,
            worker_name,
            nc,
            await accounts.open(stores, exchanges),
            verifier=verifier,
            clock=clock,
            metrics=metrics,
            health=health,
            joining=partial(accounts.joining, stores, exchanges),
        )


async def run_worker(
    settings: WorkerSettings,
    worker_name: str,
    nc: NatsClient,
    opened: Sequence[OpenedAccount],
    *,
    verifier: MarketVerifier,
    clock: WorkerClock,
    metrics: WorkerMetrics,
    health: WorkerHealth | None = None,
    joining: Joining = lambda _: (),
) -> None:
    """Run a worker on the given collaborators until cancelled, then finish what is under way."""
    health = health or WorkerHealth()
    fence, replicas = Fence(), settings.stream_replicas
    parts = WorkerParts(worker_name, fence, ClockDoubt(), verifier, metrics)
    pull = BookPull(nc, books_consumer(settings.entries, settings.group), replicas)
    worker = Worker(pull, verifier=verifier, clock=clock, metrics=metrics, fence=fence)
    served: list[ServedAccount] = []

    def serve_account(account: OpenedAccount) -> ServedAccount:
        one = ServedAccount(account, parts, nc, replicas)
        served.append(one)
        worker.add(one.trading)
        account.in_force.tell(lambda _: clock.set_book_age_max(_book_age_max_ms(served)))
        return one

    async def join(account: OpenedAccount) -> None:
        known = any(account.exchange is each.trading.opened.exchange for each in served)
        one = serve_account(account)
        upkeep = () if known else (account.exchange.upkeep(),)
        await first_failure(one.run(alone=False), *upkeep)

    for account in opened:
        serve_account(account)
    exchanges = {id(account.exchange): account.exchange for account in opened}
    where = f"JetStream at {origins(settings.nats_url)}"
    # All of them here: what only a person can mend would otherwise be said while it trades.
    for stream in (BOOKS, DECISIONS, FILLS) if settings.live else (BOOKS, DECISIONS):
        declare = partial(declare_stream, nc, stream, replicas)
        await until_reachable(f"stream {stream.name} of {where}", declare)
    await until_reachable(where, pull.start)
    freeze_heap()
    health.serve(served, pull.problem, verifier.problem, clock.problem)
    late = joining(join)
    alone = len(opened) + len(late) == 1
    beside = [*(one.run(alone=alone) for one in served), *late]
    background = asyncio.create_task(first_failure(*beside))
    try:
        await first_failure(
            *(pull.run(), worker.run(), worker.rehearsal.run()),
            *(each.upkeep() for each in exchanges.values()),
            *(verifier.upkeep(), clock.run(), health.watch(metrics), _watch(background)),
        )
    finally:
        await worker.finish()
        await asyncio.gather(*(one.drain(timeout_s=0.5) for one in served))
        await stop_tasks(background)
        _log.info("worker_stopped")


def _book_age_max_ms(served: Sequence[ServedAccount]) -> int:
    """Older books nobody trades on."""
    return max(one.trading.configuration.gate.book_age_max_ms for one in served)


async def _watch(task: asyncio.Task[None]) -> None:
    await asyncio.shield(task)


def main(arguments: list[str]) -> int:
    """Entry point of `python -m functions.worker`."""
    if arguments:
        refuse_to_start("the worker takes no arguments: the environment says all")
    worker_name = f"{socket.gethostname()}-{os.getpid()}"
    configure_logging(service="worker", worker=worker_name)
    ignore_proxies()
    settings = load_settings(WorkerSettings)
    with exiting_when_misconfigured():
        for one in settings.each():
            try_strategy(one)
    with STRATEGY_CALLS.looking(CALL_LOOK_EVERY_S):
        return run_service(serve(settings, worker_name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
