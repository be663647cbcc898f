"""The process: started, killed, started again, stopped while a service hangs; shows no secret."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from executor.alerts.alerts_file import AlertsFile
from executor.alerts.service import serve
from executor.alerts.settings import AlertSettings
from functions.bootstrap import unopened_store
from functions.core.account import Account
from local.status import ProcessStatus, SystemStatus, read_status, write_status
from tests.executor.alerts.seen_builders import system
from tests.support.http_sink import CHAT, TOKEN, HttpSink, http_sink, until

SECRET = "pAsSwOrD-of-mine"
pytestmark = pytest.mark.usefixtures("forked")


class Running:
    """One `executor alert run`, and all that it says."""

    def __init__(self, sink: HttpSink, data: Path, log: Path) -> None:
        self.sink, self.data, self.log = sink, data, log
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        urls = (
            f"json://me:{SECRET}@127.0.0.1:{self.sink.port}/hook/{SECRET}",
            f"json://127.0.0.1:1/{SECRET}",
            f"tgram://{TOKEN}/{CHAT}",
        )
        env = {
            "PATH": os.environ["PATH"],
            "ALERT_URLS": " ".join(urls),
            "HEARTBEAT_URL": f"http://127.0.0.1:1/{SECRET}",
            "EXECUTOR_DATA": str(self.data),
            "METRICS_PORT": "0",
            "NATS_URL": "nats://127.0.0.1:1",
            "STATE": f"sqlite:///{self.data}/state.sqlite",
        }
        argv = ("-m", "tests.support.alert_process", self.sink.url, "alert", "run")
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *argv, env=env, stdout=log, stderr=log
            )

    async def end(self, *, kill: bool = False) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill() if kill else self.process.terminate()
        return await self.process.wait()

    def tell(self, *names: str) -> None:
        """That these processes have just been started again."""
        since_ms = time.time_ns() // 1_000_000
        processes = tuple(
            ProcessStatus(name=each, state="running", since_ms=since_ms, restarts=1)
            for each in names
        )
        write_status(self.data, msgspec.structs.replace(_now(system()), processes=processes))

    def hooks(self) -> list[str]:
        """What the webhook was sent."""
        return [body for path, body in self.sink.requests if path.startswith("/hook")]


def _now(status: SystemStatus) -> SystemStatus:
    return msgspec.structs.replace(status, written_at_ms=time.time_ns() // 1_000_000)


async def _account(data: Path) -> Account:
    """As another process finds it."""
    settings = AlertSettings(state=f"sqlite:///{data}/state.sqlite")
    async with unopened_store(settings) as store:
        return await store.account()


@asynccontextmanager
async def supervisor(data: Path) -> AsyncIterator[None]:
    """Writes its file as the real one does: without that the system is gone."""

    async def write() -> None:
        while True:
            if (status := read_status(data)) is not None:
                write_status(data, _now(status))
            await asyncio.sleep(1)

    task = asyncio.create_task(write())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.timeout(180)
async def test_a_life_with_a_kill_and_a_service_that_hangs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    data = tmp_path / "data"
    data.mkdir()
    async with http_sink() as sink, supervisor(data):
        running = Running(sink, data, log)
        try:
            running.tell("worker-1")
            await running.start()
            await until(lambda: any("RESTARTED: worker-1" in each for each in running.hooks()), 60)
            await until(lambda: len(sink.messages) == 1)
            sink.say("/halt I have seen enough", date=time.time())
            await until(lambda: len(sink.messages) == 2)
            assert "HALTED: book_imbalance_crypto-paper" in sink.messages[1]["text"]
            await running.end(kill=True)
            account = await _account(data)
            assert account.halt_reason == "Telegram: I have seen enough"

            running.tell("worker-1", "feeder")
            sink.delay_s = 30
            await running.start()
            await until(lambda: any("RESTARTED: feeder" in each for each in running.hooks()), 60)
            began_s = time.monotonic()
            assert await running.end() == 0
            assert time.monotonic() - began_s < 20
        finally:
            await running.end(kill=True)
    told = "".join(running.hooks())
    assert told.count("RESTARTED: worker-1") == 1  # not again by the process after the kill
    said = log.read_text()
    assert said.count("alerts_started") == 2
    assert said.count("alerts_stopped") == 1
    assert "alert_not_sent" in said
    assert SECRET not in said
    assert TOKEN.partition(":")[2] not in said


async def test_the_data_folder_must_be_there_and_be_nobody_elses(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        await serve(AlertSettings(executor_data=tmp_path / "none"), ())
    assert refused.value.code == 2
    assert "EXECUTOR_DATA: there is no folder" in capfd.readouterr().err
    file = AlertsFile(tmp_path / "alerts.sqlite")
    with pytest.raises(SystemExit) as refused:
        await serve(AlertSettings(executor_data=tmp_path), ())
    assert refused.value.code == 2
    assert "another `executor alert run` works with" in capfd.readouterr().err
    file.close()
