"""The whole system as real processes on free loopback ports, started and stopped in order.

    nats-server, DynamoDB (serialised moto), simulated venue  ─▶  feeder, workers

Every child writes to `<log_dir>/<name>.log`. Children live in sessions of their own, so Ctrl-C
reaches only this process, which then stops them in order; and the kernel kills them should this
process die without having had the chance.
"""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from eth_account import Account
from hexbytes import HexBytes

from runtime.process import stop_tasks
from sandbox.dynamodb import CREDENTIALS_ENV

ROOT: Final = Path(__file__).parent.parent
READY_TIMEOUT_S: Final = 60
STOP_TIMEOUT_S: Final = 12
"""A worker may take ten seconds to finish its orders."""
LINE_BYTES_MAX: Final = 4 << 20
STATE_TABLE: Final = "sandbox-state"
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)


class SandboxError(Exception):
    """A process did not start, or ended by itself; the text says which and shows its last words."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is run; times scale with `speed`."""

    speed: int = 10
    markets: int = 6
    workers: int = 2
    execution: str = "live"
    max_positions: int = 8
    min_orders: int = 0
    balance_usd: int = 1_000

    @property
    def cooldown_s(self) -> float:
        """The strategy's 300 s, at this speed."""
        return 300 / self.speed

    @property
    def min_time_to_close_s(self) -> float:
        """The strategy's 300 s, at this speed."""
        return 300 / self.speed


class Child:
    """One process whose output goes to a file, and whose first words can be waited for."""

    def __init__(self, name: str, log_dir: Path) -> None:
        self.name = name
        self._log_path = log_dir / f"{name}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._pumps: list[asyncio.Task[None]] = []
        self._said: asyncio.Queue[dict[str, object]] = asyncio.Queue(maxsize=1_000)

    async def start(self, *argv: str, env: Mapping[str, str]) -> None:
        """Start it; secrets go in `env`, never in `argv`, which anybody may list."""
        self._process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=ROOT,
            env={"PATH": os.environ.get("PATH", ""), "PYTHONUNBUFFERED": "1", **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=LINE_BYTES_MAX,
            preexec_fn=_die_with_parent,
        )
        assert self._process.stdout is not None and self._process.stderr is not None  # noqa: S101 - PIPE
        self._pumps = [
            asyncio.create_task(self._pump(stream))
            for stream in (self._process.stdout, self._process.stderr)
        ]

    async def wait_for(self, key: str) -> dict[str, object]:
        """The first JSON line with this key, or with this value of `event`.

        Raises SandboxError when the process ends first or READY_TIMEOUT_S pass.
        """
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while True:
                    said = asyncio.create_task(self._said.get())
                    ended = asyncio.create_task(self.ended())
                    await asyncio.wait({said, ended}, return_when=asyncio.FIRST_COMPLETED)
                    ended.cancel()
                    if not said.done():
                        said.cancel()
                        raise SandboxError(f"{self.name} ended at start{self.last_words()}")
                    line = said.result()
                    if key in line or line.get("event") == key:
                        return line
        except TimeoutError:
            raise SandboxError(f"{self.name} is not ready{self.last_words()}") from None

    async def ended(self) -> int:
        """Wait for its end; returns the exit code."""
        assert self._process is not None  # noqa: S101 - only called once started
        return await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after STOP_TIMEOUT_S; reads its output to the end."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        await asyncio.gather(*self._pumps)

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._process.returncode if self._process else None

    @property
    def pid(self) -> int:
        """Process id, 0 before it was started."""
        return self._process.pid if self._process else 0

    def last_words(self) -> str:
        """The end of its log, for an error message."""
        try:
            lines = self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
        except FileNotFoundError:
            return ""
        return "".join(f"\n    {line}" for line in lines) + f"\n  (all of it: {self._log_path})"

    async def _pump(self, stream: asyncio.StreamReader) -> None:
        with self._log_path.open("ab") as log:
            while line := await _line(stream):
                log.write(line)
                log.flush()
                if line.startswith(b"{") and not self._said.full():
                    try:
                        self._said.put_nowait(json.loads(line))
                    except ValueError:
                        continue  # not ours to judge: it is in the log


async def _line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.readexactly(error.consumed)


class Cluster:
    """`async with Cluster(options, log_dir) as cluster:`: its servers run inside."""

    def __init__(self, options: Options, log_dir: Path) -> None:
        self._options = options
        self._log_dir = log_dir
        self._scratch = tempfile.TemporaryDirectory(prefix="sandbox-")
        self._infrastructure: list[Child] = []
        self.feeder: Child | None = None
        self.workers: list[Child] = []
        self.nats_url = ""
        self.dynamodb_url = ""
        self.venue_url = ""
        self.series: list[str] = []
        self.metrics_urls: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        for old in self._log_dir.glob("*.log"):
            old.unlink()
        try:
            await self._start_infrastructure()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def died(self) -> str:
        """Wait until any child ends by itself; returns a sentence with its last words."""
        children = [child for child in (*self._infrastructure, self.feeder, *self.workers) if child]
        tasks = {asyncio.create_task(child.ended()): child for child in children}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        child = tasks[done.pop()]
        return f"{child.name} ended with code {child.returncode}{child.last_words()}"

    async def stop_services(self) -> list[str]:
        """Stop the feeder, then the workers, which finish what is under way.

        Returns a sentence for each of them that did not stop as told.
        """
        if self.feeder is not None:
            await self.feeder.stop()
        await asyncio.gather(*(worker.stop() for worker in self.workers))
        services = [service for service in (self.feeder, *self.workers) if service is not None]
        return [
            f"{service.name} did not stop as told: exit code {service.returncode}"
            for service in services
            if service.returncode not in (None, 0)
        ]

    async def stop(self) -> None:
        """Stop everything, in order. Idempotent."""
        await self.stop_services()
        await asyncio.gather(*(child.stop() for child in self._infrastructure))
        self._scratch.cleanup()

    async def _start_infrastructure(self) -> None:
        starts = [
            asyncio.create_task(start_nats(self._child("nats"), Path(self._scratch.name))),
            asyncio.create_task(start_dynamodb(self._child("dynamodb"))),
            asyncio.create_task(self._start_venue()),
        ]
        try:
            self.nats_url, self.dynamodb_url, self.venue_url = await asyncio.gather(*starts)
        finally:
            # When one fails, the others must not go on to start what nobody will stop.
            await stop_tasks(*starts)

    async def _start_venue(self) -> str:
        options = self._options
        child = self._child("venue")
        await child.start(
            *(sys.executable, "-m", "sandbox.venue", "--speed", str(options.speed)),
            *("--markets", str(options.markets), "--balance-usd", str(options.balance_usd)),
            env={},
        )
        ready = await child.wait_for("url")
        self.series = list(ready["series"])  # type: ignore[call-overload]
        return str(ready["url"])

    async def start_services(self) -> None:
        """Start feeder and workers; whoever wants to see all they say listens before."""
        websocket = self.venue_url.replace("http://", "ws://")
        shared = {"NATS_URL": self.nats_url, "GAMMA_URL": self.venue_url, "METRICS_PORT": "0"}
        self.feeder = Child("feeder", self._log_dir)
        await self.feeder.start(
            *(sys.executable, "-m", "feeder"),
            env={
                **shared,
                "MARKET_WS_URL": f"{websocket}/ws/market",
                "SERIES": ",".join(self.series),
            },
        )
        key = Account.create()
        for number in range(1, self._options.workers + 1):
            worker = Child(f"worker-{number}", self._log_dir)
            self.workers.append(worker)
            await worker.start(
                *(sys.executable, "-m", "functions.worker"),
                env={
                    **shared,
                    **CREDENTIALS_ENV,
                    "CLOB_URL": self.venue_url,
                    "STATE_TABLE": STATE_TABLE,
                    "AWS_ENDPOINT_URL_DYNAMODB": self.dynamodb_url,
                    "MAX_POSITIONS": str(self._options.max_positions),
                    "COOLDOWN_S": str(self._options.cooldown_s),
                    "MIN_TIME_TO_CLOSE_S": str(self._options.min_time_to_close_s),
                    "EXECUTION": self._options.execution,
                    # A throw-away key of this run; the simulated venue funds whoever logs in.
                    "PRIVATE_KEY": HexBytes(key.key).to_0x_hex(),
                    "WALLET": key.address,
                },
            )
        for child, event in (
            (self.feeder, "feeder_started"),
            *((worker, "worker_started") for worker in self.workers),
        ):
            port = (await child.wait_for(event))["metrics_port"]
            self.metrics_urls[child.name] = f"http://127.0.0.1:{port}/metrics"

    def _child(self, name: str) -> Child:
        child = Child(name, self._log_dir)
        self._infrastructure.append(child)
        return child


async def start_nats(child: Child, scratch_dir: Path) -> str:
    """Start a nats-server with JetStream on a free port; returns its URL. Raises SandboxError."""
    await child.start(
        str(Path(sys.executable).with_name("nats-server")),
        *("--addr", "127.0.0.1", "--port", "-1"),
        *("--jetstream", "--store_dir", str(scratch_dir)),
        *("--ports_file_dir", str(scratch_dir)),
        env={},
    )
    ports_file = scratch_dir / f"nats-server_{child.pid}.ports"
    async with asyncio.timeout(READY_TIMEOUT_S):
        while not (ports_file.exists() and ports_file.read_text()):
            if child.returncode is not None:
                raise SandboxError(f"nats ended at start{child.last_words()}")
            await asyncio.sleep(0.02)  # a file is all it says; nothing to await
    return str(json.loads(ports_file.read_text())["nats"][0])


async def start_dynamodb(child: Child) -> str:
    """Start serialised moto with the state table; returns its URL. Raises SandboxError."""
    await child.start(*(sys.executable, "-m", "sandbox.dynamodb", "--table", STATE_TABLE), env={})
    return str((await child.wait_for("url"))["url"])


def _die_with_parent() -> None:
    if sys.platform == "linux":  # elsewhere children outlive a killed sandbox
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
