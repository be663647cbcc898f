"""Whether proven books come: the newest one of each series, as NATS keeps it for 30 seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from protocol.book import Proof
from protocol.snapshot import ProtocolError, decode_snapshot
from protocol.subjects import BOOKS
from runtime.addresses import origins
from runtime.nats import close, connect_once, jetstream_answers
from runtime.nats_settings import NatsSettings

LOOK_EVERY_S: Final = 5.0
ANSWER_S: Final = 3.0
START_GRACE_MS: Final = 60_000
"""A system that has just started needs as long for its first books."""
_log = structlog.get_logger()


class WatchedBooks:
    """When a proven book of each series was last seen."""

    def __init__(self, settings: NatsSettings, series: Iterable[str]) -> None:
        self._settings = settings
        self.problem = ""
        """Why they cannot be seen; empty: they can."""
        self.proven_at_ms = dict.fromkeys(series, _now_ms() + START_GRACE_MS)
        self._newest_ns: dict[str, int] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        where = origins(self._settings.nats_url)
        self.problem = f"NATS at {where} was not reached yet"
        while True:
            try:
                nc = await connect_once(
                    self._settings.nats_url, "alerts", self._settings.nats_login()
                )
            except Exception as error:  # noqa: BLE001 - nats-py's, of many kinds: it is told
                why = " ".join(origins(f"{type(error).__name__}: {error}").split())[:200]
                self.problem = f"NATS at {where}: {why}"
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            try:
                while not nc.is_closed:  # it gives up for good on some errors of the server
                    await self.look(nc)
                    await asyncio.sleep(LOOK_EVERY_S)
            finally:
                await close(nc)

    async def look(self, nc: Client) -> None:
        """Once. Raises nothing."""
        if not nc.is_connected:
            self.problem = f"not connected to NATS at {origins(self._settings.nats_url)}"
            return
        js = nc.jetstream(timeout=ANSWER_S)
        try:
            for series in self.proven_at_ms:
                await self._look_at(series, js)
            self.problem = ""
        except (NatsError, TimeoutError) as error:
            self.problem = f"NATS gives no answer about books ({type(error).__name__})"

    async def _look_at(self, series: str, js: JetStreamContext) -> None:
        try:
            with jetstream_answers():
                message = await js.get_last_msg(BOOKS.name, f"book.{series}.>")
        except NotFoundError:  # none in 30 s, or no stream
            return
        try:
            snapshot = decode_snapshot(message.data or b"")
        except ProtocolError:
            return
        new = snapshot.published_at_ns != self._newest_ns.get(series)
        if new and snapshot.proof is not Proof.NONE:
            # When it came, by our own clock: a feeder's clock that is wrong is another alert's.
            self._newest_ns[series] = snapshot.published_at_ns
            self.proven_at_ms[series] = _now_ms()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
