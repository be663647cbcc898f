"""The sandbox as a person runs it: a whole run, Ctrl-C, and a process that dies underneath it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sandbox.__main__ import app

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(120)
# As few processes as make a system, because each takes two seconds of CPU to import its libraries.
SMALL = ("--duration", "60", "--speed", "30", "--workers", "1")


@asynccontextmanager
async def sandbox(
    cwd: Path, *options: str, command: str = "run"
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox", command, *options),
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def descendants(pid: int) -> Iterator[tuple[int, str]]:
    """(pid, command line) of everything below a process."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = stat.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            child = int(stat.parent.name)
            yield child, command
            yield from descendants(child)


async def all_gone(pids: Iterable[int]) -> None:
    """Wait until none of these processes exists."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(30):
        for pid in pids:
            try:
                handle = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            gone = asyncio.Event()
            loop.add_reader(handle, gone.set)
            try:
                await gone.wait()
            finally:
                loop.remove_reader(handle)
                os.close(handle)


def secrets_of(pids: Iterable[int], name: str) -> Iterator[str]:
    """What these processes have under that name in their environment."""
    for pid in pids:
        for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if variable.startswith(f"{name}=".encode()):
                yield variable.partition(b"=")[2].decode()


async def output_until(process: asyncio.subprocess.Process, words: str) -> str:
    assert process.stdout is not None
    text = ""
    while words not in text:
        line = await process.stdout.readline()
        if not line:
            raise AssertionError(f"ended without saying {words!r}:\n{text}")
        text += line.decode()
    return text


async def rest_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.read()).decode()


# That a run trades, all accounts agree in the end and its recording is whole is `make run` and
# `make paper-proof` of `.ci/run`.


async def test_ctrl_c_stops_everything_still_checks_and_nowhere_is_the_key_shown(
    tmp_path: Path,
) -> None:
    async with sandbox(tmp_path, *SMALL, "--markets", "2") as process:
        text = await output_until(process, " imbalance ")  # a decision: it is running
        children = dict(descendants(process.pid))
        assert len(children) == 7  # three servers, two feeders, a worker and the schedule
        [key] = set(secrets_of(children, "PRIVATE_KEY"))
        [secret] = set(secrets_of(children, "API_SECRET"))
        process.send_signal(signal.SIGINT)
        text += await rest_of(process)
        assert await process.wait() == 130
    assert "all accounts agree" in text
    assert "Traceback" not in text
    await all_gone(children)
    assert all(key not in command for command in children.values())
    assert all(secret not in command for command in children.values())
    logs = "".join(log.read_text() for log in (tmp_path / "sandbox-logs").glob("*.log"))
    assert logs
    assert key.removeprefix("0x") not in logs + text
    assert secret not in logs + text


async def test_when_a_process_dies_the_others_are_stopped_and_it_is_named(tmp_path: Path) -> None:
    async with sandbox(tmp_path, *SMALL, "--markets", "1", "--execution", "paper") as process:
        await output_until(process, "To look at it")  # all have started by now
        children = dict(descendants(process.pid))
        [feeder] = [
            pid for pid, command in children.items() if command.rstrip().endswith("-m feeder")
        ]
        os.kill(feeder, signal.SIGKILL)
        text = await rest_of(process)
        assert await process.wait() == 1
    assert "the sandbox failed: feeder ended with code -9" in text
    assert "Traceback" not in text
    await all_gone(children)


# Chaos is what is killed: its services hang on another process still, the fork server.
async def test_a_killed_chaos_run_takes_its_processes_with_it(tmp_path: Path) -> None:
    options = ("--duration", "60", "--seed", "1", "--workers", "2")
    async with sandbox(tmp_path, *options, command="chaos") as process:
        text = await output_until(process, " s left: ")
        children = dict(descendants(process.pid))
        process.kill()
        await process.wait()
        await all_gone(children)
    assert "python -m sandbox chaos --seed 1 --duration 60 --workers 2 --speed 30" in text
    assert len(children) >= 8  # three servers, the fork server and what it has started


@pytest.mark.parametrize("command", ["run", "chaos", "rolling"])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--speed", "7"), "must divide 900"),
        (("--strategies", "book_imbalance_crypto,no_such"), "no_such: no such strategy"),
        (("--strategies", "fair_value,fair_value"), "a second account fair_value"),
    ],
)
def test_a_wrong_option_is_refused_in_one_sentence_before_anything_is_started(
    command: str, options: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(app, [command, *options])
    assert result.exit_code == 2
    assert sentence in result.output


def test_a_recording_is_never_mixed_with_that_of_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    result = CliRunner().invoke(app, ["run", "--record", str(tmp_path)])
    assert result.exit_code == 2
    assert "is there already: name a new directory" in result.output
