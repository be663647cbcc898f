"""`executor record` and `executor inspect`: as a person and as a script meet them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from executor.commands import record
from executor.commands.record import is_on_this_machine
from feeder.recording.format import Frame, Listed, payload
from feeder.recording.reader import RecordingReader
from sandbox.simulator import Venue, serve
from tests.executor.conftest import Command
from tests.executor.test_entry import ROOT
from tests.support.recordings import (
    SERIES,
    change_books,
    frames_in,
    list_market,
    recorded_run,
    write_records,
)

PIPE = asyncio.subprocess.PIPE
pytestmark = pytest.mark.usefixtures("forked")
EXECUTOR = (sys.executable, "-m", "executor")


@asynccontextmanager
async def process(url: str, *argv: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`executor record` against a venue; killed at the end if it still runs."""
    env = {"GAMMA_URL": url, "MARKET_WS_URL": f"{url}/ws/market".replace("http", "ws")}
    started = await asyncio.create_subprocess_exec(
        *(*EXECUTOR, "record", "--series", SERIES.name, *argv),
        cwd=ROOT,
        env={**os.environ, **env},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def heard(venue: Venue) -> None:
    """Somebody listens to the one market."""
    (market,) = venue.markets.values()
    async with asyncio.timeout(45):
        await venue.subscribed(market.token("Up"), market.token("Down"))


async def test_a_run_is_recorded_until_told_to_end_and_every_book_is_proven(
    run: Command, tmp_path: Path
) -> None:
    venue, out = Venue(), tmp_path / "new" / "recording"
    async with serve(venue) as url, process(url, "--out", str(out)) as running:
        market = list_market(venue)
        await heard(venue)
        change_books(venue, market, 100)
        await _written(out, frames=101)
        running.send_signal(signal.SIGINT)
        stdout, _ = await running.communicate()
    assert running.returncode == 0
    assert stdout.decode().startswith("recorded 101 frames (")
    assert "of 1 markets" in stdout.decode()

    result = await run("inspect", "--json", str(out))
    assert result.exit_code == 0
    report = json.loads(result.output)
    found = report["inspection"]
    assert (found["frames"], found["stopped"], found["lost_connections"]) == (101, True, 0)
    assert found["checks"] == {
        "matched": 202,
        "mismatched": 0,
        "unknown": 0,
        "no_hash": 0,
        "top_mismatched": 0,
        "crossed": 0,
    }
    assert (report["damages"], report["unreadable_lines"]) == ([], 0)


async def _written(out: Path, frames: int) -> None:
    """Until so many frames are on the disk: a file is all that another process shows."""
    async with asyncio.timeout(45):
        while _frames_on_disk(out) < frames:  # noqa: ASYNC110 - nothing there could be awaited
            await asyncio.sleep(0.02)


def _frames_on_disk(out: Path) -> int:
    return len(frames_in(RecordingReader(out))) if out.exists() else 0


async def test_a_kill_costs_at_most_the_last_second(tmp_path: Path) -> None:
    venue = Venue()
    sent: list[tuple[int, str]] = []
    async with serve(venue) as url, process(url, "--out", str(tmp_path)) as running:
        market = list_market(venue)
        await heard(venue)
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < 1.5:
            change_books(venue, market, 1)
            book = venue.book_text(market.token("Up"))
            sent.append((time.time_ns(), json.loads(book)["hash"]))
            await asyncio.sleep(0.002)  # the venue's own pace: 500 frames a second
        running.kill()
        killed_ns = time.time_ns()
        await running.wait()

    frames = [each for each in RecordingReader(tmp_path) if isinstance(each, Frame)]
    changes = [payload(each) for each in frames[1:]]
    assert 0 < len(changes) <= len(sent)
    for (_, expected), received in zip(sent, changes, strict=False):
        assert expected in received.decode()  # none is missing in between
    assert killed_ns - frames[-1].at_ns < 1_000_000_000
    assert killed_ns - sent[len(changes) - 1][0] < 1_000_000_000


@pytest.fixture
def here(venue: Venue, monkeypatch: pytest.MonkeyPatch) -> Venue:
    """`record` in a thread of this process, where signals cannot be handled, against a venue."""
    monkeypatch.setattr(record, "run_service", asyncio.run)
    url = os.environ["GAMMA_URL"]
    monkeypatch.setenv("MARKET_WS_URL", f"{url}/ws/market".replace("http", "ws"))
    monkeypatch.setenv("SERIES", SERIES.name)
    monkeypatch.delenv("NATS_URL")  # nothing beside the frames
    return venue


async def test_it_ends_by_itself_when_its_time_is_over(
    run: Command, here: Venue, tmp_path: Path
) -> None:
    list_market(here)
    result = await run("record", "--out", str(tmp_path), "--duration", "1")
    assert result.exit_code == 0
    assert result.output.splitlines()[-1].startswith("recorded 1 frames (")
    assert (await run("inspect", str(tmp_path))).output.count("1 run, stopped in order") == 1


async def test_a_recording_without_a_frame_is_no_success(
    run: Command, here: Venue, tmp_path: Path
) -> None:
    result = await run("record", "--out", str(tmp_path), "--duration", "1")  # nothing is listed
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith("recorded 0 frames (")


async def test_a_full_disk_is_one_sentence_and_exit_1(
    run: Command, here: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    market = list_market(here)
    running = asyncio.create_task(run("record", "--out", str(tmp_path)))
    await heard(here)
    monkeypatch.setattr(os, "fsync", full)
    change_books(here, market, 1)
    result = await running
    assert result.exit_code == 1
    last = result.output.splitlines()[-1]
    assert last.startswith(f"failed: cannot write {tmp_path}/part-000001-")
    assert last.endswith(": No space left on device")


async def test_a_directory_that_will_not_do_is_one_sentence_and_exit_2(
    run: Command, here: Venue, tmp_path: Path
) -> None:
    (tmp_path / "notes").touch()
    result = await run("record", "--out", str(tmp_path))
    assert result.exit_code == 2
    assert result.output == f"cannot record into {tmp_path}: it holds something else (notes)\n"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--series", "btc"], "SERIES: names as btc-15m"),
        (["--series", ",".join(f"btc-{n}m" for n in range(1, 40))], "SERIES: one connection has"),
        (["--duration", "0"], "--duration"),
        (["--max-gb", "0"], "--max-gb"),
    ],
)
async def test_what_a_person_can_mend_is_one_sentence_and_exit_2(
    run: Command, tmp_path: Path, argv: list[str], says: str
) -> None:
    result = await run("record", "--out", str(tmp_path / "new"), *argv)
    assert (result.exit_code, says in result.output) == (2, True), result.output


async def test_a_variable_that_is_wrong_is_named(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKET_WS_URL", "http://secret@x")
    result = await run("record", "--out", str(tmp_path))
    assert (result.exit_code, "MARKET_WS_URL: not a URL" in result.output) == (2, True)
    assert "secret" not in result.output


async def test_with_a_limit_old_files_make_room_and_inspect_says_so(
    run: Command, here: Venue, tmp_path: Path
) -> None:
    old = tmp_path / "part-000007-20260101T000000Z.jsonl.gz"
    with old.open("wb") as file:
        file.truncate(100_000_000)  # all that is allowed; a hole takes no room on the disk
    limited = ("--max-gb", "0.1", "--duration", "1")
    result = await run("record", "--out", str(tmp_path), *limited)
    assert result.output.splitlines()[-1].endswith("; 1 old file deleted to make room")
    assert not old.exists()
    text = await inspected(run, tmp_path)
    assert "7 files before these, to make room: it begins later than it was begun" in text


async def inspected(run: Command, path: Path) -> str:
    result = await run("inspect", str(path))
    assert result.exit_code == 0
    return result.output


async def test_a_sound_recording_says_so_at_a_glance(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = await recorded_run(tmp_path, monkeypatch, changes=20)
    text = await inspected(run, tmp_path)
    assert "100% by checksum: 42 of 42" in text
    assert "nothing is wrong with it" in text
    assert "1 run, stopped in order" in text
    assert market.slug in text
    assert "\x1b" not in text
    assert all(line == line.rstrip() or len(line) <= 240 for line in text.splitlines())


def corrupt(records: list[Any]) -> list[Any]:
    """Another size in one of the frames."""
    frames = [each for each in records if isinstance(each, Frame)]
    victim = frames[3]
    event = json.loads(payload(victim))
    event["price_changes"][0]["size"] = "123456"
    changed = Frame(
        at_ns=victim.at_ns, mono_ns=victim.mono_ns, conn=victim.conn, text=json.dumps(event)
    )
    return [changed if each is victim else each for each in records]


async def test_a_corrupted_frame_shows(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await recorded_run(tmp_path / "run", monkeypatch, changes=20)
    broken = tmp_path / "broken.gz"
    write_records(broken, corrupt(list(RecordingReader(tmp_path / "run"))))
    text = await inspected(run, broken)
    assert "books do not have the venue's checksum" in text
    assert "nothing is wrong" not in text


async def test_what_is_torn_unreadable_or_not_described_shows(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await recorded_run(tmp_path / "run", monkeypatch, changes=5)
    records = [each for each in RecordingReader(tmp_path / "run") if not isinstance(each, Listed)]
    path = tmp_path / "a.gz"
    write_records(path, records[:-1])
    with path.open("ab") as file:
        file.write(b"\x1f\x8b\x08")
    text = await inspected(run, path)
    assert "TORN: the last 3 bytes of a.gz are left out" in text
    assert "7 events are of markets that are not described" in text
    assert "not stopped: killed, or still being written" in text


async def test_no_recording_is_one_sentence_and_exit_2(run: Command, tmp_path: Path) -> None:
    for path, says in (
        (tmp_path, "no recording"),
        (tmp_path / "absent", "cannot read"),
        (Path(__file__), "no recording"),
    ):
        result = await run("inspect", str(path))
        assert (result.exit_code, says in result.output) == (2, True), result.output


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("nats://127.0.0.1:4222", True),
        ("tls://localhost", True),
        ("nats://[::1]:4222", True),
        ("nats://nats.example.com:4222", False),
        ("nats://10.0.0.1", False),
        ("nats://[oops", False),
        ("", False),
    ],
)
def test_what_workers_saw_is_recorded_unasked_where_all_runs_on_this_machine(
    url: str, here: bool
) -> None:
    assert is_on_this_machine(url) is here
