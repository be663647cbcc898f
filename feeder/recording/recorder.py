"""The recorder: follows the series' windows as the feeder does, and writes down every frame.

1. A reader of the recording sees what a feeder would have received; how that is ensured, and when a
   connection is replaced, is `recorded_channel`'s.
2. It ends when it is cancelled, when its time is over, or when the disk refuses; what was received
   until then is written first.
3. What else is to be taken down `Beside` the frames, it runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from feeder.books.discovery import Discovery
from feeder.books.metrics import FeederMetrics
from feeder.core.market.session_table import SessionTable
from feeder.recording.format import FORMAT, Listed, Record, Started, Stopped
from feeder.recording.paid_markets import PaidMarkets
from feeder.recording.recorded_channel import (
    RecordedChannel,
    RecorderTimes,
    RecordingProgress,
    now,
)
from feeder.recording.writer import RecordingWriter, WriterLimits, open_recording
from feeder.settings import MarketChannelSettings
from protocol.market import MarketInfo
from runtime.addresses import origins
from runtime.process import first_failure

_log = structlog.get_logger()


class Beside(Protocol):
    """Something that is recorded beside the frames."""

    async def run(self, put: Callable[[Record], None], progress: RecordingProgress) -> None:
        """Put records until cancelled; what cannot be had is waited for, and ends nothing."""

    async def finish(self) -> None:
        """After `run` was cancelled: put what has come by now, in bounded time."""

    async def close(self) -> None:
        """In any case, at last."""

    def head(self) -> Iterator[Record]:
        """What each file is to have at its beginning."""


class Recorder:
    """`run` records until cancelled, or for `duration_s`; `progress` says how much."""

    def __init__(
        self,
        settings: MarketChannelSettings,
        directory: Path,
        *,
        limits: WriterLimits = WriterLimits(),  # noqa: B008 - frozen
        times: RecorderTimes = RecorderTimes(),  # noqa: B008 - frozen
        beside: Beside | None = None,
    ) -> None:
        self._beside = beside
        self._progress = RecordingProgress()
        self._writer: RecordingWriter | None = None
        self._settings = settings
        self._directory = directory
        self._limits = limits
        self._times = times
        self._table = SessionTable(settings.series)
        self._listed: dict[str, MarketInfo] = {}
        """The followed markets as the recording has them."""
        self._run = f"{time.time_ns():x}"

    @property
    def progress(self) -> RecordingProgress:
        """So far."""
        progress, writer = self._progress, self._writer
        if writer is not None:
            progress.lost, progress.files = writer.lost, writer.files
            progress.deleted_files = writer.deleted_files
            progress.written_bytes = writer.written_bytes
        return progress

    async def run(self, duration_s: float | None = None) -> None:
        """Raises RecordingError when the directory cannot be used, or the disk refuses."""
        settings = self._settings
        async with open_recording(self._directory, self._head, self._limits) as writer:
            self._writer = writer
            _log.info("recording_started", directory=str(self._directory))
            channel = RecordedChannel(
                settings.market_ws_url,
                self._table,
                writer,
                self._listed,
                self._progress,
                self._times,
            )
            discovery = Discovery(
                settings.gamma_url, self._table, FeederMetrics(settings.series), channel.nudge
            )
            paid = PaidMarkets(
                settings.gamma_url, self._directory, self._listed, writer.put, self._times
            )
            loops = [writer.run(), discovery.run(), channel.run()]
            loops += [paid.run(), self._log_progress()]
            beside = self._beside
            if beside is not None:
                loops.append(beside.run(writer.put, self._progress))
            try:
                async with asyncio.timeout(duration_s) as limit:
                    await first_failure(*loops)
            except asyncio.CancelledError:
                await self._stop(writer)
                raise
            except TimeoutError:
                if not limit.expired():
                    raise
                await self._stop(writer)
            finally:
                if beside is not None:
                    await beside.close()

    def _head(self, part: int) -> Iterator[Record]:
        """The first records of a file."""
        at_ns, mono_ns = now()
        yield Started(
            at_ns=at_ns,
            mono_ns=mono_ns,
            format=FORMAT,
            run=self._run,
            part=part,
            market_ws_url=origins(self._settings.market_ws_url),
            gamma_url=origins(self._settings.gamma_url),
            series=tuple(series.name for series in self._settings.series),
        )
        for market in self._listed.values():
            yield Listed(at_ns=at_ns, mono_ns=mono_ns, market=market)
        if self._beside is not None:
            yield from self._beside.head()

    async def _stop(self, writer: RecordingWriter) -> None:
        if self._beside is not None:
            await self._beside.finish()
        at_ns, mono_ns = now()
        writer.put(Stopped(at_ns=at_ns, mono_ns=mono_ns))
        _log.info("recording_stopped", frames=self._progress.frames)

    async def _log_progress(self) -> None:
        while True:
            await asyncio.sleep(self._times.progress_every_s)
            _log.info("recording", **msgspec.structs.asdict(self.progress))
