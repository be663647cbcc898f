"""Small recordings on disk, for tests of what writes and what reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from feeder.recording.format import Frame, Record, Started, frame_of, payload
from feeder.recording.reader import RecordingReader
from feeder.recording.writer import open_recording


def started(part: int = 1) -> Started:
    return Started(
        at_ns=1,
        mono_ns=1,
        format=1,
        run="a",
        part=part,
        market_ws_url="ws://127.0.0.1:1",
        gamma_url="http://127.0.0.1:1",
        series=("btc-15m",),
    )


def head(part: int) -> Iterator[Record]:
    yield started(part)


def frames(payloads: Iterable[bytes]) -> list[Frame]:
    return [frame_of(each, conn=1, at_ns=i, mono_ns=i) for i, each in enumerate(payloads, start=2)]


async def record(directory: Path, payloads: Iterable[bytes]) -> None:
    async with open_recording(directory, head) as writer:
        for each in frames(payloads):
            writer.put(each)


def payloads_in(reader: RecordingReader) -> list[bytes]:
    return [payload(each) for each in reader if isinstance(each, Frame)]


def only_file(directory: Path) -> Path:
    (path,) = directory.iterdir()
    return path
