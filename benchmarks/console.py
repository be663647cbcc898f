"""What the console costs, as it really runs: `python -m benchmarks.console [SECONDS] [RUNS]`

50 markets at 1,000 books a second come through a real nats-server. The account is in a SQLite file,
with open claims, a configuration, decisions, and 1,000 rows in its ledger. A worker's, a feeder's
and a schedule's registries are served as they serve them, and `system.json` names them. One browser
holds the stream of one page; the processor time of the whole process is read from the kernel
(Linux). Not modelled: books that a worker decides on, and claims that change meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from benchmarks.growth_streams import _cpu_s
from benchmarks.stats import quartiles
from benchmarks.strategies_streams import _publish, _server
from benchmarks.strategy_books import Books
from executor.console.links import one_time_link
from feeder.books.metrics import FeederMetrics
from functions.bootstrap import unopened_store
from functions.core.account import Limits
from functions.core.claim import ClaimState
from functions.core.configuration import AccountConfiguration, configuration_row
from functions.schedule_metrics import ScheduleMetrics
from functions.settings import DEFAULT_STRATEGY, AccountSettings
from functions.worker_metrics import WorkerMetrics
from local.status import ProcessStatus, SystemStatus, write_status
from protocol.series import parse_series
from runtime.log import configure_logging
from strategies.builtin import BUILTIN
from tests.support.account_builders import make_claim, make_decision, make_open

SHARE_MAX: Final = 0.05
"""Of a core."""
WARM_UP_S: Final = 4.0
LEDGER_ROWS: Final = 1_000
OPEN_CLAIMS: Final = 3
DECISIONS: Final = 300
_DAY_MS: Final = 86_400_000
_ACCOUNT: Final = f"{DEFAULT_STRATEGY}-paper"
_LIMITS: Final = Limits(
    max_positions=10,
    cooldown_ms=0,
    daily_loss_limit_e6=10**12,
    daily_spend_cap_e6=10**12,
)


async def measure(seconds: float, runs: int) -> int:
    """1 where the median of one of the pages is above `SHARE_MAX`."""
    books = Books()
    async with _server() as (nc, url, _, console):
        with tempfile.TemporaryDirectory(prefix="console-") as name:
            folder = Path(name)
            state = f"sqlite:///{folder}/state.sqlite"
            await _fill(state, books)
            async with _processes(folder):
                env = {"NATS_URL": url, "STATE": state, "EXECUTOR_DATA": name, "CONSOLE_PORT": "0"}
                await console.start(sys.executable, "-m", "executor", "console", env=env)
                base = str((await console.wait_for("console_started"))["url"])
                jar = aiohttp.CookieJar(unsafe=True)
                async with aiohttp.ClientSession(cookie_jar=jar) as browser:
                    async with browser.get(one_time_link(folder, base)) as answer:
                        answer.raise_for_status()
                    shares: dict[str, list[float]] = {}
                    for _ in range(runs):
                        for page, path in _pages(books).items():
                            async with _open(browser, base, path):
                                await _publish(nc, books, WARM_UP_S)
                                begun_s, began_s = _cpu_s(console.pid), time.monotonic()
                                await _publish(nc, books, seconds)
                                took_s = time.monotonic() - began_s
                                share = (_cpu_s(console.pid) - begun_s) / took_s
                            shares.setdefault(page, []).append(share)
                            print(f"  {page}: {share:.1%}", flush=True)
    return _report(shares)


def _pages(books: Books) -> dict[str, str]:
    """By what they are called, where they are; nobody looks at the last one."""
    return {
        "markets": "/markets",
        "opened market": f"/markets?market={books.condition_ids[7]}",
        "decisions": "/decisions",
        "positions": "/positions",
        "latency": "/latency",
        "configuration": "/configuration",
        "health": "/health",
        "none": "",
    }


def _report(shares: dict[str, list[float]]) -> int:
    worst = 0.0
    for page, found in shares.items():
        of = quartiles(found if len(found) > 1 else found * 2)
        worst = max(worst, of.median)
        print(f"{page}: {of.median:.1%} of a core ({of.low:.1%} to {of.high:.1%})")
    return int(worst > SHARE_MAX)


async def _fill(state: str, books: Books) -> None:
    """The account as it is after a month."""
    now_ms, chance = time.time_ns() // 1_000_000, random.Random(1)
    strategy = BUILTIN[DEFAULT_STRATEGY]
    row = configuration_row(
        AccountConfiguration(),
        strategy.Parameters(),
        version=1,
        strategy=strategy.name,
        who="benchmark",
        why="to be followed",
        made_at_ms=now_ms,
    )
    async with unopened_store(AccountSettings(state=state)) as store:
        await store.open_account()
        await store.set_configuration(row, 0)
        for number in range(LEDGER_ROWS):
            at_ms = now_ms - chance.randrange(30 * _DAY_MS)
            paid_e6 = chance.choice((0, 2_200_000))
            await store.put_ledger(
                make_open(
                    f"{number:04d}",
                    claimed_at_ms=at_ms,
                    market_end_ms=at_ms + 600_000,
                    state=ClaimState.SETTLED,
                    payout_e6=paid_e6,
                )
            )
        for number in range(OPEN_CLAIMS):
            condition_id = books.condition_ids[number]
            claim = make_claim(f"open-{number}", condition_id=condition_id)
            await store.claim(claim, _LIMITS, now_ms)
        await store.put_decisions([make_decision(number) for number in range(DECISIONS)])


@asynccontextmanager
async def _processes(folder: Path) -> AsyncIterator[None]:
    """What the system's processes tell: their metrics, and the supervisor's file every two
    seconds."""
    worker = WorkerMetrics({_ACCOUNT: tuple(BUILTIN[DEFAULT_STRATEGY].Reason)})
    series = [parse_series(text) for text in ("btc-15m", "eth-15m")]
    registries = {
        "worker-1": worker.registry,
        "feeder": FeederMetrics(series).registry,
        "schedule": ScheduleMetrics([_ACCOUNT]).registry,
    }
    app = web.Application()
    app.add_routes([web.get("/{name}/metrics", _told(registries))])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    writing = asyncio.create_task(_keep_writing(folder, base, list(registries), worker))
    try:
        yield
    finally:
        writing.cancel()
        await runner.cleanup()


def _told(
    registries: dict[str, CollectorRegistry],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def told(request: web.Request) -> web.Response:
        page = generate_latest(registries[request.match_info["name"]])
        return web.Response(body=page)

    return told


async def _keep_writing(
    folder: Path, base: str, names: Sequence[str], worker: WorkerMetrics
) -> None:
    while True:
        for stage in (worker.book_age, worker.decode, *worker.accounts[_ACCOUNT].stages.values()):
            stage.observe(random.expovariate(300))
        now_ms = time.time_ns() // 1_000_000
        status = SystemStatus(
            pid=1,
            started_at_ms=now_ms,
            written_at_ms=now_ms,
            execution="paper",
            environment={},
            venue="http://127.0.0.1:1",
            processes=tuple(
                ProcessStatus(
                    name=name, state="running", since_ms=1, metrics_url=f"{base}/{name}/metrics"
                )
                for name in names
            ),
        )
        write_status(folder, status)
        await asyncio.sleep(2.0)


@asynccontextmanager
async def _open(browser: aiohttp.ClientSession, base: str, path: str) -> AsyncIterator[None]:
    """A page whose stream is read meanwhile, as a browser does."""
    if not path:
        yield
        return
    async with browser.get(f"{base}{path}") as answer:
        answer.raise_for_status()

    async def follow() -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        async with browser.get(f"{base}/events{path}", timeout=timeout) as stream:
            stream.raise_for_status()
            async for _ in stream.content.iter_any():
                pass

    task = asyncio.create_task(follow())
    try:
        yield
    finally:
        if task.done():
            task.result()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


if __name__ == "__main__":
    configure_logging()
    told = [float(each) for each in sys.argv[1:]]
    seconds, runs = (*told, *(10.0, 3.0)[len(told) :])
    sys.exit(uvloop.run(measure(seconds, int(runs))))
