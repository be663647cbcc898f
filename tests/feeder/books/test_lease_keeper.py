from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from feeder.books import lease_keeper as keeper_module
from feeder.books.lease_keeper import BUCKET, KEY, LeaseKeeper, LeaseTimes
from feeder.books.metrics import FeederMetrics
from feeder.core.leases import SETTLED_TRIES, decode_table
from protocol.series import parse_series
from runtime.nats import connect
from runtime.process import stop_tasks
from tests.support.servers import NatsServer
from tests.support.stalls import lived_time

SERIES = [parse_series(name) for name in ("btc-15m", "eth-15m")]
NAMES = [series.name for series in SERIES]
# Fast enough for tests, and slow enough to survive the pauses of a shared machine.
TIMES = LeaseTimes(lease_s=0.8, margin_s=0.1, every_s=0.1, attempt_s=0.3)


def test_the_longer_a_renewal_took_the_sooner_the_next_begins() -> None:
    times = LeaseTimes(lease_s=1.0, margin_s=0.2, every_s=0.25)
    assert times.next_try_s(100, 100.01) == pytest.approx(100.26)
    assert times.next_try_s(100, 100.3) == pytest.approx(100.4)  # half of the lease is over
    assert times.next_try_s(100, None) == pytest.approx(100.25)


class Side:
    """One feeder's leases."""

    def __init__(self, nc: Client, feeder_id: str, times: LeaseTimes = TIMES) -> None:
        self.nc = nc
        self.fit = True
        self.acquired: list[str] = []
        self.lost: list[str] = []
        self.metrics = FeederMetrics(SERIES)
        self.keeper = LeaseKeeper(
            nc,
            feeder_id,
            NAMES,
            self.metrics,
            on_acquired=self.acquired.append,
            on_lost=self.lost.append,
            fit=lambda: self.fit,
            times=times,
        )
        self.task = asyncio.create_task(self.keeper.run())

    @property
    def epochs(self) -> dict[str, int]:
        """What it may publish at this instant."""
        return {name: epoch for name in NAMES if (epoch := self.keeper.epoch(name)) is not None}

    @property
    def owns_all(self) -> bool:
        return len(self.epochs) == len(NAMES)

    def has_begun_more_tables_than(self, number: float) -> bool:
        return self.value("lease_tables_begun_total") > number

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"feeder_{name}", labels) or 0.0


class Watch:
    """Starts feeders, waits for what they come to, and sees that no two ever own the same."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self._url = url
        self._stack = stack
        self._sides: list[Side] = []

    async def client(self, url: str = "") -> Client:
        nc = await connect(url or self._url, "test")
        self._stack.push_async_callback(_close, nc)
        return nc

    async def side(self, feeder_id: str, url: str = "", times: LeaseTimes = TIMES) -> Side:
        side = Side(await self.client(url), feeder_id, times)
        self._stack.push_async_callback(stop_tasks, side.task)
        self._sides.append(side)
        return side

    async def joined(self, feeder_id: str) -> None:
        """Wait until a feeder is in the table."""
        bucket = await (await self.client()).jetstream().key_value(BUCKET)
        async with asyncio.timeout(30):
            while True:
                if feeder_id in decode_table((await bucket.get(KEY)).value or b"").members:
                    return
                await asyncio.sleep(0.01)

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not fact():
                for name in NAMES:
                    owners = [side for side in self._sides if side.keeper.epoch(name) is not None]
                    assert len(owners) <= 1, name
                for side in self._sides:
                    assert not side.task.done() or side.task.cancelled()
                await asyncio.sleep(0.002)


async def _close(nc: Client) -> None:
    with contextlib.suppress(TimeoutError, NatsError):
        async with asyncio.timeout(5):
            await nc.close()


@asynccontextmanager
async def watching(nats_server: NatsServer) -> AsyncIterator[Watch]:
    async with AsyncExitStack() as stack:
        stack.callback(nats_server.resume)
        yield Watch(nats_server.url, stack)


@asynccontextmanager
async def door(url: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A TCP door before a server: its URL, and an event; while that is clear, nothing passes."""
    host, _, port = url.rpartition("://")[2].rpartition(":")
    is_open = asyncio.Event()
    is_open.set()
    running: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65_536):
                await is_open.wait()
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(host, int(port))
        for one, other in ((reader, there[1]), (there[0], writer)):
            running.add(asyncio.create_task(pump(one, other)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", is_open
    finally:
        server.close()
        await stop_tasks(*running)


def above(new: dict[str, int], old: dict[str, int], names: Iterable[str] = NAMES) -> bool:
    return all(new[name] > old[name] for name in names)


async def test_it_says_while_its_leases_hang_on_an_answer(nats_server: NatsServer) -> None:
    async with watching(nats_server) as watch:
        seen: list[bool] = []
        side = await watch.side("only")
        side.keeper._on_acquired = lambda _: seen.append(side.keeper.renewing)
        await watch.until(lambda: side.owns_all)
        await watch.until(lambda: not side.keeper.renewing)
    assert seen == [True] * len(NAMES)


async def test_alone_it_owns_everything_and_says_so(nats_server: NatsServer) -> None:
    async with watching(nats_server) as watch:
        before_ms = time.time_ns() // 1_000_000
        one = await watch.side("a")
        await watch.until(lambda: one.owns_all)
        assert min(one.epochs.values()) >= before_ms
        assert sorted(one.acquired) == NAMES
        assert one.keeper.epoch("sol-15m") is None
        assert one.value("leases_held") == 2
        assert one.value("lease_changes_total", kind="acquired") == 2
        assert one.keeper.problem() is None


async def test_a_second_one_is_given_its_part_once_it_has_settled(nats_server: NatsServer) -> None:
    async with watching(nats_server) as watch:
        one = await watch.side("a")
        await watch.until(lambda: one.owns_all)
        before = one.epochs
        two = await watch.side("b")
        await watch.until(lambda: bool(two.epochs))
        ((name, epoch),) = two.epochs.items()
        assert epoch > before[name]
        assert one.lost == [name]
        assert one.value("lease_changes_total", kind="released") == 1
        assert two.value("lease_changes_total", kind="acquired") == 1


async def test_what_is_released_is_taken_without_waiting(nats_server: NatsServer) -> None:
    async with watching(nats_server) as watch, lived_time() as clock:
        slow = LeaseTimes(lease_s=3.0, attempt_s=1.0, every_s=0.1)
        one = await watch.side("a", times=slow)
        await watch.until(lambda: one.owns_all)
        before = one.epochs
        two = await watch.side("b", times=slow)
        await watch.joined("b")
        await stop_tasks(one.task)
        released_s = clock.now_s()
        await one.keeper.release()
        assert not one.epochs
        await watch.until(lambda: two.owns_all)
        assert clock.now_s() - released_s < 1.5
        assert above(two.epochs, before)
        assert sorted(one.lost) == NAMES
        assert one.value("lease_changes_total", kind="lost") == 0


async def test_who_dies_is_replaced(nats_server: NatsServer) -> None:
    async with watching(nats_server) as watch:
        one = await watch.side("a")
        two = await watch.side("b")
        await watch.until(lambda: len(one.epochs) == len(two.epochs) == 1)
        before = one.epochs
        await stop_tasks(one.task)
        await watch.until(lambda: two.owns_all)
        assert not one.epochs
        assert above(two.epochs, before, before)


async def test_one_without_books_gives_way_to_one_that_has_some(nats_server: NatsServer) -> None:
    async with watching(nats_server) as watch:
        one = await watch.side("a")
        await watch.until(lambda: one.owns_all)
        before = one.epochs
        two = await watch.side("b")
        one.fit = False
        await watch.until(lambda: two.owns_all)
        assert above(two.epochs, before)


async def test_one_that_is_cut_off_stops_before_another_takes_over(
    nats_server: NatsServer,
) -> None:
    async with door(nats_server.url) as (url, is_open), watching(nats_server) as watch:
        one = await watch.side("a", url)
        await watch.until(lambda: one.owns_all)
        before = one.epochs
        two = await watch.side("b")
        is_open.clear()
        await watch.until(lambda: two.owns_all)
        assert not one.epochs
        assert above(two.epochs, before)
        await watch.until(lambda: sorted(one.lost) == NAMES)
        assert one.value("lease_changes_total", kind="lost") == 2
        is_open.set()  # it has been away for less than a client's patience, and comes back
        await watch.until(lambda: bool(one.epochs))
        ((name, epoch),) = one.epochs.items()
        assert epoch > before[name]


@pytest.mark.parametrize("how", ["bucket", "key", "damaged"])
async def test_a_lost_table_changes_no_owner(nats_server: NatsServer, how: str) -> None:
    async with watching(nats_server) as watch:
        one = await watch.side("a")
        await watch.until(lambda: one.owns_all)
        two = await watch.side("b")
        await watch.joined("b")
        before = one.epochs
        js = (await watch.client()).jetstream()
        bucket = await js.key_value(BUCKET)
        if how == "bucket":
            await js.delete_key_value(BUCKET)
        elif how == "key":
            await bucket.delete(KEY)
        else:
            await bucket.put(KEY, b'{"members": 7}')
        await watch.until(lambda: bool(two.epochs))  # it is given its part as if nothing had been
        ((name, epoch),) = two.epochs.items()
        assert epoch > before[name]
        if one.value("lease_changes_total", kind="lost") == 0:  # a slow machine may lose it
            ((name, epoch),) = one.epochs.items()
            assert epoch == before[name]


async def test_after_a_restart_of_the_server_leases_come_back_with_no_lower_epoch(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(nats_server) as watch:
        one = await watch.side("a")
        await watch.until(lambda: one.owns_all)
        two = await watch.side("b")
        await watch.until(lambda: bool(two.epochs))
        before = one.epochs | two.epochs
        monkeypatch.setattr(time, "time_ns", lambda: 0)  # no clock to help
        for _ in range(2):
            nats_server.stop()
            await watch.until(lambda: not one.epochs and not two.epochs)
            nats_server.start()
            await watch.until(lambda: len(one.epochs) + len(two.epochs) == 2)
            after = one.epochs | two.epochs
            assert all(after[name] >= before[name] for name in NAMES)
            before = after


async def test_a_silent_server_is_a_problem_and_so_is_a_closed_client(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "PROBLEM_S", 1)
    async with watching(nats_server) as watch:
        one = await watch.side("a")
        await watch.until(lambda: one.owns_all)
        nats_server.pause()
        late = LeaseKeeper(one.nc, "late", NAMES, one.metrics, on_acquired=lambda _: None)
        assert "no answer about leases" in (late.problem() or "")  # not even a first one
        await watch.until(lambda: one.keeper.problem() is not None)
        assert not one.epochs
        assert one.value("lease_failures_total", cause="timeout") > 0
        nats_server.resume()
        await watch.until(lambda: one.keeper.problem() is None)
        await watch.until(lambda: one.owns_all)
        await one.nc.close()
        with pytest.raises(ConnectionError):
            await one.task


async def test_a_bucket_that_cannot_be_used_is_told_with_the_reason(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "PROBLEM_S", 0)
    async with watching(nats_server) as watch:
        js = (await watch.client()).jetstream()
        await js.create_key_value(bucket=BUCKET, max_value_size=16)  # somebody else made it
        one = await watch.side("a")
        await watch.until(lambda: one.value("lease_failures_total", cause="error") > 1)
        problem = one.keeper.problem()
        assert problem is not None
        assert "message size exceeds maximum" in problem
        assert not one.epochs
        await js.delete_key_value(BUCKET)
        await watch.until(lambda: one.owns_all)
        assert "message size" not in (one.keeper.problem() or "")


async def test_a_new_bucket_counts_from_anywhere(nats_server: NatsServer) -> None:
    async with watching(nats_server) as watch:
        js = (await watch.client()).jetstream()
        one = await watch.side("a")
        revisions = []
        for _ in range(2):
            await watch.until(lambda: one.owns_all)
            await watch.joined("a")
            bucket = await js.key_value(BUCKET)
            status = await bucket.status()
            assert (status.history, status.ttl) == (1, 0)
            revisions.append((await bucket.get(KEY)).revision or 0)
            await js.delete_key_value(BUCKET)
            begun = one.value("lease_tables_begun_total")
            await watch.until(partial(one.has_begun_more_tables_than, begun))
        assert abs(revisions[0] - revisions[1]) > 1_000


def test_a_lease_outlives_two_failed_tries_and_the_wait_of_others() -> None:
    times = LeaseTimes()
    assert 2 * times.attempt_s + keeper_module.RETRY_S < times.lease_s - times.margin_s
    assert times.lease_s + 2 * times.every_s + times.attempt_s < 2
    assert SETTLED_TRIES * times.every_s >= 5
