"""What goes wrong on the simulated nats-server."""

from __future__ import annotations

import asyncio
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig
from nats.js.errors import NoStreamResponseError, NotFoundError, ServiceUnavailableError

from functions.adapters.book_pull import PREFETCH_MAX, BookPull
from protocol.subjects import BOOKS, FILLS
from runtime.nats import ensure_stream
from runtime.retry import until_reachable
from tests.simulation.jetstream import NatsFaults, SimNats
from tests.simulation.loop import Simulation, simulated
from tests.simulation.test_nats_like_real import consumer

# -- what goes wrong -----------------------------------------------------------------------------


async def _books(sim: Simulation, server: SimNats, got: list[bytes]) -> None:
    """A worker that takes books for ever, with the production pull."""
    nc = await server.connect(sim.current.name)
    pull = BookPull(nc, "d")
    await until_reachable("JetStream", pull.start)
    running = asyncio.create_task(pull.run())
    try:
        while True:
            got.append((await pull.next()).payload)
    finally:
        running.cancel()


async def _publish(nc: Client, numbers: range, every_s: float = 0.05) -> None:
    for number in numbers:
        await nc.publish(f"book.btc-15m.m{number % 3}", b"%d" % number)
        await asyncio.sleep(every_s)


def _run_books(seed: int, faults: NatsFaults) -> tuple[list[bytes], str, SimNats]:
    got: list[bytes] = []
    with simulated(seed) as sim:
        server = SimNats(sim, faults)
        for number in (1, 2):
            sim.process(f"worker-{number}").start(_books(sim, server, got))

        async def scenario() -> None:
            nc = await server.connect("feeder")
            await asyncio.sleep(20)
            await _publish(nc, range(200))
            server.faults.off()
            await asyncio.sleep(40)
            await _publish(nc, range(200, 230))
            await asyncio.sleep(40)

        sim.run(scenario())
        assert not sim.errors
    return got, sim.fingerprint, server


@pytest.mark.parametrize("way", ["killed", "paused"])
def test_a_worker_that_is_gone_takes_no_more_than_it_has_asked_for(way: str) -> None:
    """Of two: a share of all books would be what a queue group gives it, for as long as the server
    takes it for alive."""
    published, got = 400, [[], []]  # type: tuple[int, list[list[bytes]]]
    with simulated(1) as sim:
        server = SimNats(sim)
        workers = [sim.process(f"worker-{number}") for number in (0, 1)]
        for worker, books in zip(workers, got, strict=True):
            worker.start(_books(sim, server, books))

        async def scenario() -> None:
            nc = await server.connect("feeder")
            await asyncio.sleep(1)
            await _publish(nc, range(100), every_s=0.01)
            await asyncio.sleep(0.1)
            getattr(workers[0], {"killed": "kill", "paused": "pause"}[way])()
            await _publish(nc, range(100, published), every_s=0.01)
            await asyncio.sleep(1)

        sim.run(scenario())
    assert all(got)
    missed = set(range(published)) - {int(each) for books in got for each in books}
    assert len(missed) <= (PREFETCH_MAX if way == "paused" else 0)
    assert max(missed, default=0) < 100 + 4 * PREFETCH_MAX  # at once, and none later


def test_faults_change_a_run_and_repeat_with_the_seed() -> None:
    calm, _, _ = _run_books(3, NatsFaults())
    assert [int(each) for each in calm] == sorted(int(each) for each in calm)
    assert len(calm) == 230
    faults = {"drop": 0.05, "duplicate": 0.05, "late": 0.05, "disconnect": 0.01}
    wild, fingerprint, server = _run_books(3, NatsFaults(**faults))
    assert len(wild) < 240 and wild != calm
    assert (wild, fingerprint) == _run_books(3, NatsFaults(**faults))[:2]
    assert fingerprint != _run_books(4, NatsFaults(**faults))[1]
    assert wild[-1] == b"229", "with the faults off it recovers"
    kinds = {event[1] for event in server.sim.events}
    assert {"nats-drop", "nats-duplicate", "nats-late", "nats-disconnect"} <= kinds


def _one_message(sim: Simulation, server: SimNats, durable: str = "d") -> Any:
    async def take() -> Any:
        nc = await server.connect(sim.current.name)
        subscription = await nc.jetstream().pull_subscribe_bind(durable=durable, stream="S")
        [message] = await subscription.fetch(1, timeout=60)
        return message

    return take()


@pytest.mark.parametrize("way", ["killed", "paused", "ack dropped"])
def test_what_is_not_acknowledged_comes_to_another_worker(way: str) -> None:
    with simulated(1) as sim:
        server = SimNats(sim)
        told: list[tuple[str, bytes, int]] = []

        async def works() -> None:
            message = await _one_message(sim, server)
            told.append((sim.current.name, message.data, message.metadata.num_delivered))
            await asyncio.sleep(1)
            if way == "ack dropped":
                server.faults.drop = 1.0 if message.metadata.num_delivered == 1 else 0.0
            await message.ack()
            await asyncio.sleep(1)
            server.faults.drop = 0.0
            await asyncio.sleep(1_000)

        async def scenario() -> None:
            js = (await server.connect()).jetstream()
            await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
            await js.add_consumer("S", consumer("d", "s.>", ack_wait=10))
            first = sim.process("first")
            first.start(works())
            await asyncio.sleep(1)
            await js.publish("s.a", b"1")
            await asyncio.sleep(0.5)
            if way == "killed":
                first.kill()
            elif way == "paused":
                first.pause()
            sim.process("second").start(works())
            await asyncio.sleep(5)
            assert told == [("first", b"1", 1)]
            await asyncio.sleep(10)
            assert told == [("first", b"1", 1), ("second", b"1", 2)]
            first.resume()
            await asyncio.sleep(30)
            assert len(told) == 2
            assert (await js.consumer_info("S", "d")).num_ack_pending == 0

        sim.run(scenario())
    assert not sim.errors


@pytest.mark.parametrize("flushed", [False, True])
def test_what_a_killed_client_had_not_flushed_is_never_sent(flushed: bool) -> None:
    with simulated(1) as sim:
        server = SimNats(sim)

        async def publishes() -> None:
            nc = await server.connect("dying")
            await nc.publish("s.a", b"1")
            if flushed:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            sim.current.kill()
            await asyncio.sleep(1)

        async def scenario() -> int:
            js = (await server.connect()).jetstream()
            await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
            sim.process("dying").start(publishes())
            await asyncio.sleep(10)
            return (await js.stream_info("S")).state.messages

        assert sim.run(scenario()) == flushed
    assert not sim.errors


def test_a_client_can_be_killed_at_every_step() -> None:
    arrived = []
    for step in range(1, 40):
        with simulated(1) as sim:
            server = SimNats(sim)

            async def publishes(server: SimNats = server) -> None:
                nc = await server.connect("dying")
                await nc.publish("s.a", b"1")
                await asyncio.sleep(1)
                await nc.publish("s.a", b"2")
                await asyncio.sleep(1)

            async def scenario(
                sim: Simulation = sim, server: SimNats = server, step: int = step
            ) -> int:
                js = (await server.connect()).jetstream()
                await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
                dying = sim.process("dying")
                dying.kill_at_step(step)
                dying.start(publishes(server))
                await asyncio.sleep(10)
                assert len(server.connections) == 1, "the dead process's connection is closed"
                return (await js.stream_info("S")).state.messages

            arrived.append(sim.run(scenario()))
        assert not sim.errors
    assert sorted(set(arrived)) == [0, 1, 2]
    assert arrived == sorted(arrived)


def test_a_restart_loses_memory_and_keeps_files() -> None:
    with simulated(1) as sim:
        server = SimNats(sim)

        async def scenario() -> None:
            nc = await server.connect()
            js = nc.jetstream(timeout=1)
            for spec in (BOOKS, FILLS):
                await ensure_stream(js, spec)
            await js.add_consumer("FILLS", consumer("d", "fill.>", ack_wait=5))
            for number in range(3):
                headers = {"Nats-Msg-Id": str(number)}
                await js.publish("fill.a", b"%d" % number, headers=headers)
            subscription = await js.pull_subscribe_bind(durable="d", stream="FILLS")
            [acked, out] = await subscription.fetch(2)
            await acked.ack()
            await asyncio.sleep(0.1)
            server.restart(3)
            await asyncio.sleep(0.01)
            assert not nc.is_connected and not nc.is_closed
            await asyncio.sleep(5)
            assert nc.is_connected
            with pytest.raises(NotFoundError):
                await js.stream_info("BOOKS")
            assert (await js.publish("fill.a", b"1", headers={"Nats-Msg-Id": "1"})).duplicate
            await asyncio.sleep(6)
            messages = await subscription.fetch(5, timeout=1)
            assert [each.data for each in messages] == [out.data, b"2"]
            assert [each.metadata.num_delivered for each in messages] == [2, 1]

        sim.run(scenario())
    assert not sim.errors


def test_while_the_server_is_away() -> None:
    with simulated(1) as sim:
        server = SimNats(sim)
        told: list[str] = []

        async def tell(what: str) -> None:
            told.append(what)

        async def scenario() -> None:
            nc = server.client("worker")
            await nc.connect(
                "nats://x",
                name="worker",
                disconnected_cb=lambda: tell("disconnected"),
                reconnected_cb=lambda: tell("reconnected"),
                error_cb=lambda error: tell(type(error).__name__),
            )
            js = nc.jetstream(timeout=1)
            await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
            server.stop()
            await asyncio.sleep(0.01)
            with pytest.raises(nats.errors.TimeoutError):
                await js.publish("s.a", b"in vain")
            await nc.publish("s.a", b"kept by the client")
            with pytest.raises(nats.errors.NoServersError):
                await server.connect("late")
            server.start()
            await asyncio.sleep(1)
            assert nc.is_connected
            # What a client sends while it is disconnected waits in it, also what timed out.
            assert (await js.stream_info("S")).state.messages == 2
            await nc.close()
            assert nc.is_closed
            with pytest.raises(nats.errors.ConnectionClosedError):
                await nc.publish("s.a", b"")

        sim.run(scenario())
    assert not sim.errors
    assert told[0] == told[-1] == "disconnected"  # nats-py also calls it when it closes
    assert told[-2] == "reconnected"
    assert set(told[1:-2]) == {"ConnectionRefusedError"}


def test_a_cut_off_client_comes_back_when_it_can() -> None:
    with simulated(1) as sim:
        server = SimNats(sim)

        async def scenario() -> None:
            nc = await server.connect("worker")
            other = await server.connect("other")
            got: list[bytes] = []

            async def on_message(message: Any) -> None:
                got.append(message.data)

            await nc.subscribe("x.>", cb=on_message)
            server.disconnect(nc, for_s=3)
            await asyncio.sleep(2.9)
            assert not nc.is_connected and other.is_connected
            await other.publish("x.a", b"missed")
            await asyncio.sleep(1)
            assert nc.is_connected
            await other.publish("x.a", b"heard")
            await asyncio.sleep(1)
            assert got == [b"heard"]

        sim.run(scenario())


def test_what_a_callback_raises_is_told() -> None:
    with simulated(1) as sim:
        server = SimNats(sim)

        async def on_message(message: Any) -> None:
            raise ValueError(message.data)

        async def scenario() -> None:
            nc = await server.connect("worker")
            await nc.subscribe("x", cb=on_message)
            await nc.publish("x", b"oh")
            await asyncio.sleep(1)

        sim.run(scenario())
    assert [type(each.exception) for each in sim.errors] == [ValueError]


def test_what_is_not_modelled_is_loud() -> None:
    with simulated(1) as sim:
        server = SimNats(sim)

        async def scenario() -> None:
            js = (await server.connect()).jetstream(timeout=1)
            with pytest.raises((TimeoutError, ServiceUnavailableError, NoStreamResponseError)):
                await js.account_info()

        sim.run(scenario())
    assert isinstance(sim.errors[0].exception, NotImplementedError)
