"""Processes that are stopped and killed: another publishes their series within two seconds."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from runtime.nats import connect
from tests.support.servers import NatsServer
from tests.support.stalls import LivedTime, lived_time

ROOT = Path(__file__).parents[3]
TAKEN_OVER_S_MAX = 2.0
pytestmark = pytest.mark.usefixtures("forked")


@dataclass(frozen=True)
class Sent:
    """One message of a feeder, as everybody sees it."""

    feeder_id: str
    epoch: int
    at_s: float


class Stage:
    """Feeders as processes, and what they send, in order."""

    def __init__(self, clock: LivedTime) -> None:
        self.clock = clock
        self.sent: list[Sent] = []
        self.told: list[tuple[str, str]] = []
        self.feeders: dict[str, Process] = {}

    async def on_sent(self, message: Msg) -> None:
        feeder_id, epoch = message.data.decode().split()
        self.sent.append(Sent(feeder_id, int(epoch), self.clock.now_s()))

    async def on_told(self, message: Msg) -> None:
        feeder_id, what = message.data.decode().split()
        self.told.append((feeder_id, what))

    async def start(self, url: str, feeder_id: str) -> None:
        """Start one and wait until it takes part."""
        self.feeders[feeder_id] = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.lease_process", url, feeder_id),
            cwd=ROOT,
            stdout=asyncio.subprocess.DEVNULL,
        )
        await self.until_told(feeder_id, "started")

    async def until_told(self, feeder_id: str, what: str) -> None:
        async with asyncio.timeout(20):
            while (feeder_id, what) not in self.told:  # noqa: ASYNC110 - messages come by callback
                await asyncio.sleep(0.005)

    async def owner(self, above: int = -1) -> Sent:
        """Waits for the first message with an epoch above this one."""
        async with asyncio.timeout(20):
            while True:
                newer = next((each for each in self.sent if each.epoch > above), None)
                if newer is not None:
                    return newer
                await asyncio.sleep(0.002)

    async def takeover(self, how: signal.Signals) -> tuple[Sent, Sent, float]:
        """Send a signal to the owner: it, who follows, and after how many seconds."""
        old = self.sent[-1]
        hit_s = self.clock.now_s()
        self.feeders[old.feeder_id].send_signal(how)
        new = await self.owner(above=old.epoch)
        return old, new, new.at_s - hit_s

    async def end(self) -> None:
        for child in self.feeders.values():
            if child.returncode is None:
                child.kill()  # also one that is stopped
            await child.wait()


@asynccontextmanager
async def stage(nats_server: NatsServer, *feeder_ids: str) -> AsyncIterator[Stage]:
    """The first one named owns the series when the others come."""
    async with AsyncExitStack() as stack:
        nc = await connect(nats_server.url, "test")
        stack.push_async_callback(nc.close)
        stage_ = Stage(await stack.enter_async_context(lived_time()))
        stack.push_async_callback(stage_.end)
        await nc.subscribe("sent", cb=stage_.on_sent)
        await nc.subscribe("told", cb=stage_.on_told)
        await stage_.start(nats_server.url, feeder_ids[0])
        await stage_.owner()
        await asyncio.gather(*(stage_.start(nats_server.url, each) for each in feeder_ids[1:]))
        yield stage_


async def test_a_stopped_feeder_is_replaced_and_says_nothing_more_when_it_goes_on(
    nats_server: NatsServer,
) -> None:
    async with stage(nats_server, "a", "b") as feeders:
        old, new, took_s = await feeders.takeover(signal.SIGSTOP)
        assert (old.feeder_id, new.feeder_id) == ("a", "b")
        assert took_s < TAKEN_OVER_S_MAX
        before = len(feeders.sent)
        feeders.feeders["a"].send_signal(signal.SIGCONT)
        await feeders.until_told("a", "lost")  # sent after whatever it had left to send
        late = [each for each in feeders.sent[before:] if each.feeder_id == "a"]
        assert len(late) <= 1  # what was between the check and the socket
        assert all(each.epoch < new.epoch for each in late)


async def test_a_killed_feeder_is_replaced_and_one_that_stops_at_once(
    nats_server: NatsServer,
) -> None:
    async with stage(nats_server, "a", "b", "c") as feeders:
        _, second, took_s = await feeders.takeover(signal.SIGKILL)
        assert took_s < TAKEN_OVER_S_MAX
        old, third, took_s = await feeders.takeover(signal.SIGTERM)
        assert old.feeder_id == second.feeder_id
        assert took_s < 1  # it need not be waited for
        epochs = [each.epoch for each in feeders.sent]
        assert epochs == sorted(epochs)
        assert {"a", second.feeder_id, third.feeder_id} == {"a", "b", "c"}
