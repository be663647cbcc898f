"""nats-server as it is deployed: its configuration, and what its users may do there."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import APIError
from structlog.testing import capture_logs

from feeder.fills.metrics import UserMetrics
from feeder.fills.publisher import FillPublisher
from feeder.recording.format import Record
from feeder.recording.recorded_channel import RecordingProgress
from feeder.recording.recorded_messages import RecordedMessages
from functions.adapters.book_pull import BookPull
from functions.adapters.decision_publisher import DecisionPublisher
from functions.core.group import books_consumer, parse_strategies
from functions.worker_consumers import decision_consumer, fill_consumer
from protocol.decision import Decision
from protocol.subjects import BOOKS, DECISIONS, FILLS, config_subject
from runtime.nats import connect, ensure_stream
from runtime.nats_settings import NatsSettings
from runtime.process import stop_tasks
from tests.feeder.books.test_lease_keeper import Side
from tests.support.fake_ports import MemoryStore
from tests.support.message_builders import decision
from tests.support.metrics_builders import counted, worker_metrics
from tests.support.publisher_bench import Bench
from tests.support.servers import NatsServer
from tests.venue.wire.test_user_channel import FILL

CONF = Path(__file__).parents[2] / "infra" / "nats"
# As a generator of secrets makes them, and both shapes that a reader of numbers might trip over.
PASSWORDS = {"feeder": "e5" * 16, "worker": "x0" + "9" * 30}
ENVIRON = {f"NATS_{user.upper()}_PASSWORD": word for user, word in PASSWORDS.items()}


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path / "jetstream", CONF / "nats.conf", ENVIRON) as server:
        yield server


@asynccontextmanager
async def client_of(server: NatsServer, user: str) -> AsyncIterator[Client]:
    nc = await connect(server.url.replace("//", f"//{user}:{PASSWORDS[user]}@"), user)
    try:
        yield nc
    finally:
        await nc.close()


@asynccontextmanager
async def beside(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        await stop_tasks(*tasks)


async def until(fact: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not fact():  # noqa: ASYNC110 - the counters offer nothing to wait on
            await asyncio.sleep(0.002)


async def test_feeders_and_workers_may_do_what_they_do(deployed: NatsServer) -> None:
    with capture_logs() as logs:
        async with client_of(deployed, "feeder") as feeder, client_of(deployed, "worker") as worker:
            side = Side(feeder, "f1")
            for spec in (BOOKS, FILLS):
                await ensure_stream(feeder.jetstream(), spec)
            # The log makes it as well; a decision that is offered before that would be dropped.
            await ensure_stream(worker.jetstream(), DECISIONS)
            books = Bench(feeder)
            fills = FillPublisher(feeder, UserMetrics(), lambda _: None)
            accounts = parse_strategies("a=book_imbalance_crypto,book_imbalance_crypto", "live")
            pull = BookPull(worker, books_consumer(accounts, "night-owl"))
            metrics, store = worker_metrics(), MemoryStore()
            decisions = DecisionPublisher(worker, "account", metrics.accounts["s"])
            logged = asyncio.Event()

            async def put_decisions(written: list[Decision]) -> None:
                assert written == [decision()]
                logged.set()

            store.put_decisions = put_decisions  # type: ignore[assignment,method-assign]
            await pull.start()
            async with (
                asyncio.timeout(20),
                beside(
                    books.publisher.run(),
                    fills.run(),
                    pull.run(),
                    decisions.run(),
                    decision_consumer(worker, "account", store, metrics.accounts["s"]).run(),
                    fill_consumer(worker, "account", store, metrics.accounts["s"]).run(),
                ),
            ):
                market, delivered = books.follow(), asyncio.create_task(pull.next())
                while not delivered.done():  # again, where a pause made a book too old to be sent
                    books.change(market, size=7)
                    await asyncio.wait([delivered], timeout=1)
                assert delivered.result().stored_at_ns()
                decisions.offer(decision())
                assert fills.offer(FILL)
                await fills.drained()
                await until(lambda: counted(metrics, "fills_total") == 1)
                await logged.wait()
                await until(lambda: side.owns_all)
                # Acknowledged means that nothing comes again.
                for spec, durable in ((DECISIONS, "account-log"), (FILLS, "account-fills")):
                    while (
                        info := await worker.jetstream().consumer_info(spec.name, durable)
                    ).num_ack_pending or info.num_pending:
                        pass
            await stop_tasks(side.task)
            await worker.flush()
            await feeder.flush()
    assert [log for log in logs if log["event"] == "nats_error"] == []


async def test_workers_hear_of_a_changed_configuration(deployed: NatsServer) -> None:
    """Whoever may be a worker may nudge; no feeder hears or says one (below)."""
    with capture_logs() as logs:
        async with client_of(deployed, "worker") as worker, client_of(deployed, "worker") as other:
            subject = config_subject("shadow-paper")
            heard = await worker.subscribe(subject)
            await worker.flush()
            await other.publish(subject, b"7")
            assert (await heard.next_msg(timeout=20)).data == b"7"
    assert [log for log in logs if log["event"] == "nats_error"] == []


async def test_a_recorder_in_a_workers_name_takes_down_books_and_decisions(
    deployed: NatsServer,
) -> None:
    with capture_logs() as logs:
        async with client_of(deployed, "feeder") as feeder, client_of(deployed, "worker") as worker:
            await ensure_stream(worker.jetstream(), DECISIONS)
            url = deployed.url.replace("//", f"//worker:{PASSWORDS['worker']}@")
            kept: list[Record] = []
            recorded = RecordedMessages(
                NatsSettings(nats_url=url), kept.append, RecordingProgress(), lambda _: None
            )
            async with beside(recorded.run()):
                await until(lambda: any(log["event"] == "history_followed" for log in logs))
                await feeder.publish("book.btc-15m.0xc1", b"{}")
                await worker.jetstream().publish("decision.account", b"{}")
                await until(lambda: len(kept) == 2)
            await recorded.close()
    assert [log for log in logs if log["event"] == "nats_error"] == []


_STREAMS = ("BOOKS", "DECISIONS", "FILLS", "KV_FEEDERS")
_WORSE = [
    *(f"$JS.API.STREAM.{verb}.{name}" for verb in ("DELETE", "PURGE") for name in _STREAMS),
    *(f"$JS.API.STREAM.MSG.DELETE.{name}" for name in _STREAMS),
    "$JS.API.STREAM.CREATE.OTHER",
    "$JS.API.ACCOUNT.PURGE.$G",
    "$JS.API.CONSUMER.DELETE.BOOKS.account",
    "$SYS.REQ.SERVER.PING",
    "_INBOX.somebody",
    "anything",
]
REFUSED = {
    "feeder": [
        "decision.account",
        "$KV.FEEDERS.other",
        "$JS.API.CONSUMER.CREATE.FILLS.mine.fill.>",
        "$JS.API.CONSUMER.MSG.NEXT.BOOKS.account",
        "$JS.API.STREAM.MSG.GET.FILLS",
        "$JS.API.STREAM.UPDATE.DECISIONS",
        "$JS.ACK.BOOKS.account.1.1.1.1.0",
        "config.account",
    ],
    "worker": [
        "config.account.more",
        "book.btc-15m.0xc1",
        "fill.0xc1",
        "$KV.FEEDERS.leases",
        "$JS.API.STREAM.INFO.KV_FEEDERS",
        "$JS.API.STREAM.MSG.GET.KV_FEEDERS",
        "$JS.API.CONSUMER.CREATE.KV_FEEDERS.mine.>",
        "$JS.ACK.KV_FEEDERS.mine.1.1.1.1.0",
    ],
}


@pytest.mark.parametrize("user", ["feeder", "worker"])
async def test_and_nothing_else(deployed: NatsServer, user: str) -> None:
    said: list[str] = []

    async def on_error(error: Exception) -> None:
        said.append(str(error).lower())

    async def ignore(_: object) -> None:
        raise AssertionError("delivered")

    nc = await nats.connect(
        deployed.url,
        user=user,
        password=PASSWORDS[user],
        error_cb=on_error,
        max_reconnect_attempts=0,
    )
    listened = [">", "decision.>", "$JS.API.>", "$KV.>", "$SYS.>"]
    if user == "feeder":
        listened += ["config.*", "book.>"]
    for subject in listened:
        await nc.subscribe(subject, cb=ignore)
    for subject in (spoken := [*REFUSED[user], *_WORSE]):
        await nc.publish(subject, b"{}")
    await nc.flush()
    expected = [f'subscription to "{subject}"' for subject in listened]
    expected += [f'publish to "{subject}"' for subject in spoken]
    await until(lambda: len(said) >= len(expected))
    missing = [text for text in expected if not any(text.lower() in line for line in said)]
    assert missing == []
    await nc.close()


@pytest.mark.parametrize(
    ("user", "password"),
    [("feeder", PASSWORDS["worker"]), ("worker", ""), ("nobody", "x"), ("", "")],
)
async def test_strangers_stay_outside(deployed: NatsServer, user: str, password: str) -> None:
    said: list[str] = []

    async def on_error(error: Exception) -> None:
        said.append(str(error))

    with pytest.raises(nats.errors.Error):
        await nats.connect(
            deployed.url,
            user=user or None,
            password=password or None,
            error_cb=on_error,
            allow_reconnect=False,
        )
    assert "Authorization Violation" in "".join(said)


def checked(**environ: str) -> subprocess.CompletedProcess[str]:
    """What nats-server says of its configuration."""
    variables = {"NATS_STORE_DIR": "/tmp/nats", **ENVIRON, **environ}  # noqa: S108 - not opened
    return subprocess.run(  # noqa: S603 - our own pinned binary, no shell
        [str(Path(sys.executable).with_name("nats-server")), "-t", "-c", str(CONF / "nats.conf")],
        env={name: value for name, value in variables.items() if value != "unset"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "word", ["unset", "12345", "9" * 32, "4KB", "yes", "1.5", "a b", "a}b", "[a]", "\\x"]
)
def test_a_password_that_is_no_word_stops_the_server(word: str) -> None:
    assert checked(NATS_WORKER_PASSWORD=word).returncode == 1


def test_an_empty_password_is_taken_so_whoever_sets_it_must_see_to_it() -> None:
    """The reason for the `:?` in compose.yml."""
    assert checked(NATS_WORKER_PASSWORD="").returncode == 0


def test_the_store_must_be_named() -> None:
    assert "NATS_STORE_DIR" in checked(NATS_STORE_DIR="unset").stderr


async def test_there_is_room_for_all_streams_and_none_for_much_more(deployed: NatsServer) -> None:
    async with client_of(deployed, "worker") as nc:
        js = nc.jetstream()
        for spec in (BOOKS, DECISIONS, FILLS):
            await ensure_stream(js, spec)
        for spec in (BOOKS, FILLS):
            config = (await js.stream_info(spec.name)).config
            config.max_bytes = spec.max_bytes + 100 * 1024 * 1024
            with pytest.raises(APIError, match="insufficient"):
                await js.update_stream(config)


async def test_three_nodes_keep_what_one_of_them_loses(tmp_path: Path) -> None:
    """Each has a loopback address of its own for its routes; all else is as deployed."""
    hosts = [f"127.{os.getpid() >> 8 & 255}.{os.getpid() & 255}.{last}" for last in (11, 12, 13)]
    routes = ", ".join(f"nats://route:route9word@{host}:6222" for host in hosts)
    nodes: list[NatsServer] = []
    with ExitStack() as stack:
        for host in hosts:
            home = tmp_path / host
            home.mkdir()
            for conf in CONF.glob("*.conf"):
                text = conf.read_text("utf-8").replace("0.0.0.0:6222", f"{host}:6222")
                (home / conf.name).write_text(text, "utf-8")
            environ = {
                **ENVIRON,
                "NATS_SERVER_NAME": f"node-{host}",
                "NATS_ROUTE_PASSWORD": "route9word",
                "NATS_ROUTES": f"[{routes}]",
            }
            nodes.append(stack.enter_context(NatsServer(home, home / "cluster.conf", environ)))
        async with client_of(nodes[0], "feeder") as nc:
            js = nc.jetstream(timeout=2)
            config = StreamConfig(
                name=FILLS.name, subjects=list(FILLS.subjects), num_replicas=3, max_age=60
            )
            await made(js, config)
            await js.publish("fill.0xc1", b"{}")
        nodes[0].stop()
        async with client_of(nodes[1], "feeder") as nc:
            # A new leader takes seconds; until then there is no answer.
            async with asyncio.timeout(30):
                while True:
                    with suppress(NatsError):
                        info = await nc.jetstream(timeout=1).stream_info(FILLS.name)
                        break
            assert info.state.messages == 1


async def made(js: JetStreamContext, config: StreamConfig) -> None:
    """A cluster needs seconds for its first leader, and refuses until then."""
    async with asyncio.timeout(30):
        while True:
            try:
                await js.add_stream(config)
                return
            except NatsError:
                await asyncio.sleep(0.1)
