"""SIGTERM and SIGINT to every process, in every phase, with NATS or the table gone: in order, 0."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from local.child import ROOT, Child
from local.services import Service
from protocol.market import UP
from protocol.series import parse_series
from sandbox.cluster import start_dynamodb
from sandbox.services import Addresses, Options, services
from sandbox.simulator import Venue, serve
from tests.support.servers import NatsServer
from tests.support.stalls import lived_time

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("forked")]

SERIES = "btc-4h"  # a window that does not end while a test runs
STOPPED_WITHIN_S = 8.0
"""On a busy machine; alone it takes half a second."""


class System:
    """Servers, and the processes that are told to stop."""

    def __init__(self, nats: NatsServer, log_dir: Path) -> None:
        self.nats = nats
        self.log_dir = log_dir
        self.venue = Venue()
        self.dynamodb = Child("dynamodb", log_dir)
        self.services: list[Service] = []
        self.children: dict[str, Child] = {}

    async def start(self) -> None:
        """All of them at once; none is waited for."""
        for service in self.services:
            child = self.children[service.name] = Child(service.name, self.log_dir)
            await service.launch(child)

    async def said(self, *events: str) -> None:
        """Each process in turn has said one of these."""
        async with asyncio.timeout(60):
            for service in self.services:
                log = self.log_dir / f"{service.name}.log"
                wanted = (*events, service.started_event) if "started" in events else events
                while not (log.exists() and any(f'"{e}"' in log.read_text() for e in wanted)):
                    assert self.children[service.name].returncode is None, log.read_text()
                    await asyncio.sleep(0.02)

    async def all_stop(self, number: signal.Signals) -> None:
        """Send the signal, twice, and look at how they end."""
        async with lived_time() as clock:
            began_s = clock.now_s()
            for _ in range(2):
                for child in self.children.values():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child.pid, number)
                await asyncio.sleep(0.05)
            async with asyncio.timeout(STOPPED_WITHIN_S + 32):
                await asyncio.gather(*(child.ended() for child in self.children.values()))
            took_s = clock.now_s() - began_s
        await asyncio.gather(*(child.stop() for child in self.children.values()))
        for name, child in self.children.items():
            text = (self.log_dir / f"{name}.log").read_text()
            assert child.returncode == 0, f"{name} ended with {child.returncode}:\n{text}"
            for line in text.splitlines():
                if name == "recorder" and line.startswith(("recorded ", "beside them ")):
                    continue  # its answer
                said = json.loads(line)
                # What is said of an error is in its line; what stops in order meets no defect.
                assert "exception" not in said, f"{name}: {line}"
        assert took_s < STOPPED_WITHIN_S

    async def flicker(self) -> None:
        """Books that never rest, so that something is on its way whenever a server goes."""
        size = 0
        [market] = self.venue.markets.values()
        while True:
            size = size % 5_000 + 1
            self.venue.change_level(market.token(UP), "BUY", 4_900, size * 1_000_000)
            await asyncio.sleep(0.01)


@pytest.fixture
async def system(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[System]:
    async with running(nats_server, tmp_path) as started:
        yield started


@asynccontextmanager
async def running(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[System]:
    system = System(nats_server, tmp_path)
    series = parse_series(SERIES)
    start_s = series.window_start_s(time.time())
    market = system.venue.add_market(
        series.slug(start_s), start_ms=start_s * 1000, end_ms=(start_s + 4 * 3600) * 1000
    )
    levels = [(4_900 - 100 * i, 100_000_000) for i in range(20)]
    system.venue.set_book(market.token(UP), levels, [(10_000 - price, 1) for price, _ in levels])
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve(system.venue))
        stack.push_async_callback(system.dynamodb.stop)
        at = Addresses(
            nats_url=nats_server.url,
            dynamodb_url=await start_dynamodb(system.dynamodb),
            venue_url=url,
            series=(SERIES,),
        )
        system.services = await services(Options(workers=1), at)
        [feeder] = (each for each in system.services if each.name == "feeder")
        recorder = Service(
            name="recorder",
            module="executor",
            arguments=("record", "--out", str(tmp_path / "recording")),
            started_event="recording_started",
            env=feeder.env,
        )
        system.services.append(recorder)
        flickering = asyncio.create_task(system.flicker())
        stack.callback(flickering.cancel)

        async def kill_all() -> None:
            for child in system.children.values():
                if child.returncode is None:
                    os.kill(child.pid, signal.SIGKILL)
                await child.stop()

        stack.push_async_callback(kill_all)
        yield system


async def test_while_they_wait_for_nats_that_is_not_there(system: System) -> None:
    system.nats.stop()
    await system.start()
    await system.said("not_reachable", "schedule_started", "recording_started")
    await system.all_stop(signal.SIGINT)


async def test_while_they_wait_for_nats_that_does_not_answer(system: System) -> None:
    system.nats.pause()
    await system.start()
    await system.said("not_reachable", "schedule_started", "recording_started")
    await system.all_stop(signal.SIGTERM)


async def test_while_they_run_and_nats_goes(system: System) -> None:
    await system.start()
    await system.said("started")
    await asyncio.to_thread(system.nats.stop)
    await system.all_stop(signal.SIGTERM)


# With a NATS that is there and says nothing; a table that answers makes that no harder.
async def test_while_they_run_and_everything_else_is_gone(system: System) -> None:
    await system.start()
    await system.said("started")
    os.kill(system.dynamodb.pid, signal.SIGSTOP)
    system.nats.pause()
    try:
        await asyncio.sleep(1)
        await system.all_stop(signal.SIGTERM)
    finally:
        os.kill(system.dynamodb.pid, signal.SIGCONT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("module", ["feeder", "functions.worker", "functions.schedule"])
async def test_while_they_import(module: str, number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "importtime", "-m", module),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while b"runtime.starting" not in await process.stderr.readline():
            assert process.returncode is None
        process.send_signal(number)
        rest = await process.stderr.read()
        assert await process.wait() == 0
    assert b"Traceback" not in rest
    assert b"cannot start" not in rest


@pytest.mark.parametrize(
    ("command", "imported", "number"),
    [
        (command, imported, (signal.SIGTERM, signal.SIGINT)[(i + j) % 2])
        for i, command in enumerate(["status", "halt --reason x", "record --out x", "--help"])
        for j, imported in enumerate([b"executor.__main__", b"msgspec", b"runtime.settings"])
    ],
)
async def test_while_a_command_imports(
    command: str, imported: bytes, number: signal.Signals, tmp_path: Path
) -> None:
    # As the installed command does it; `-m` imports it as another module.
    start = "from executor.__main__ import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "importtime", "-c", start, *command.split()),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while imported not in await process.stderr.readline():
            assert process.returncode is None
        if imported == b"executor.__main__":  # the line is written before its `main` is called
            await process.stderr.readline()
        process.send_signal(number)
        stdout, rest = await process.communicate()
    assert process.returncode == 128 + number
    assert b"Traceback" not in rest
    assert stdout == b""


async def test_a_command_of_a_scripts_background_is_not_interrupted(tmp_path: Path) -> None:
    start = (
        "import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "from executor.__main__ import main; os.kill(os.getpid(), signal.SIGINT); main()"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", start, "--help"),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
    )
    await process.communicate()
    assert process.returncode == 0
