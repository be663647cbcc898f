"""The worker as a person starts it: what it says when something is wrong, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import aiohttp
import nats
import pytest
from hexbytes import HexBytes
from nats.aio.msg import Msg
from nats.js.api import StreamConfig

from functions import worker as worker_module
from functions.adapters import book_pull
from functions.adapters.book_pull import BookPull
from functions.handlers.verify_markets import MarketVerifier
from functions.settings import WorkerSettings
from functions.worker_clock import WorkerClock
from protocol.decision import Decision, decode_decision
from protocol.snapshot import encode_snapshot
from protocol.subjects import DECISIONS, book_subject
from runtime.last_answer import LastAnswer
from runtime.process import stop_tasks
from sandbox.dynamodb import CREDENTIALS_ENV, decision_table_of
from tests.support.dynamodb_engines import dynamodb_server, state_table, store_on
from tests.support.fake_ports import MemoryStore, ScriptedClob, ScriptedExchange
from tests.support.hot_path import opened_account
from tests.support.live_desk import KEY, WALLET, Desk, open_desk
from tests.support.metrics_builders import worker_metrics
from tests.support.servers import NatsServer
from tests.support.trading_builders import BULLISH_ASKS, snapshot

__all__ = ["dynamodb_server", "state_table"]

ROOT = Path(__file__).parents[2]
NOWHERE = "nats://user:hunter2@127.0.0.1:1"
pytestmark = pytest.mark.usefixtures("forked")


@asynccontextmanager
async def worker(env: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "functions.worker"),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "METRICS_PORT": "0", **CREDENTIALS_ENV, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process, event: str) -> dict[str, object]:
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while line := await process.stderr.readline():
            if line.startswith(b"{") and json.loads(line)["event"] == event:
                return dict(json.loads(line))
    raise AssertionError(f"the worker ended without saying {event}")


async def test_a_wrong_variable_is_named_on_one_line_and_exits_2() -> None:
    async with worker({"EXECUTION": "live", "PRIVATE_KEY": "0x" + "5e" * 32}) as process:
        _, stderr = await process.communicate()
    text = stderr.decode()
    assert process.returncode == 2
    assert text.startswith("cannot start: ")
    assert "WALLET" in text
    assert text.count("\n") == 1
    assert "5e5e" not in text


async def test_without_nats_it_says_where_it_waits_and_stops_when_told() -> None:
    async with worker({"NATS_URL": NOWHERE, "CLOUDWATCH_STAGE": "dev"}) as process:
        line = await said(process, "not_reachable")
        assert "127.0.0.1:1" in str(line["what"])
        assert "hunter2" not in json.dumps(line)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        async with asyncio.timeout(30):
            rest = (await process.stderr.read()).decode()
            assert await process.wait() == 0
    assert "Traceback" not in rest
    assert process.stdout is not None
    told = json.loads((await process.stdout.read()).splitlines()[-1])
    assert (told["Stage"], told["Service"], told["Books"]) == ("dev", "worker", 0)
    assert "BookAge" not in told  # no books have no age


async def test_while_it_waits_its_health_says_for_what() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    async with worker({"NATS_URL": NOWHERE, "METRICS_PORT": str(port)}) as process:
        await said(process, "not_reachable")
        status, sentence = await fetched(f"http://127.0.0.1:{port}/healthz")
    assert (status, sentence) == (503, "not connected to NATS at nats://127.0.0.1:1")


async def test_a_port_that_is_taken_is_one_line_and_exit_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with worker({"METRICS_PORT": str(port)}) as process:
            _, stderr = await process.communicate()
    assert process.returncode == 2
    assert f"cannot start: METRICS_PORT: cannot listen on 127.0.0.1:{port}" in stderr.decode()
    assert "Traceback" not in stderr.decode()


async def test_without_the_table_it_says_who_creates_it(
    nats_server: NatsServer, dynamodb_server: str
) -> None:
    env = {
        "NATS_URL": nats_server.url,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_server,
        "STATE_TABLE": "missing",
    }
    async with worker(env) as process:
        line = await said(process, "not_reachable")
    assert "infra/state.yml" in str(line["error"])


@pytest.mark.parametrize("execution", ["paper", "live"])
async def test_a_stream_that_it_cannot_have_ends_its_start_whichever_it_is(
    execution: Literal["paper", "live"],
    nats_server: NatsServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = await nats.connect(nats_server.url)
    try:
        subject, stream = {
            "paper": ("decision.>", "DECISIONS"),
            "live": ("fill.>", "FILLS"),
        }[execution]
        await client.jetstream().add_stream(StreamConfig(name="OTHER", subjects=[subject]))
        metrics = worker_metrics()
        key = {"private_key": "0x" + "11" * 32, "wallet": "0x" + "22" * 20}
        with pytest.raises(SystemExit) as ended:
            await worker_module.run_worker(
                WorkerSettings.model_validate({"execution": execution, **key}),
                "w",
                client,
                [opened_account(MemoryStore(), ScriptedExchange([]))],
                verifier=MarketVerifier(ScriptedClob(), metrics),
                clock=WorkerClock(1_000, metrics),
                metrics=metrics,
            )
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert f"stream OTHER holds {subject}" in said
        assert f"stream {stream} is to hold" in said
    finally:
        await client.close()


async def test_without_the_venue_a_live_worker_waits_for_it(
    nats_server: NatsServer, dynamodb_server: str, state_table: str
) -> None:
    env = {
        "NATS_URL": nats_server.url,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_server,
        "STATE_TABLE": state_table,
        "EXECUTION": "live",
        "CLOB_URL": "http://127.0.0.1:1",
        "GAMMA_URL": "http://127.0.0.1:1",
        "PRIVATE_KEY": "0x" + "11" * 32,
        "WALLET": "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",
    }
    async with worker(env) as process:
        line = await said(process, "not_reachable")
    assert "the venue at http://127.0.0.1:1" in str(line["what"])
    assert "11" * 32 not in json.dumps(line)


async def fetched(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


GROUP = ("first", "second", "shadow-paper")


async def executed_by_all(nats_url: str, desk: Desk) -> dict[str, Decision]:
    """By account, once each has bought: the same signal comes with one book after the other."""
    nc, told, executed = await nats.connect(nats_url), asyncio.Event(), dict[str, Decision]()

    async def on_decision(message: Msg) -> None:
        decision = decode_decision(message.data)
        if decision.result == "executed":
            executed[decision.strategy] = decision
            told.set()

    market = desk.info()
    subject = book_subject(market.series, market.condition_id)
    try:
        await nc.subscribe(DECISIONS.subjects[0], cb=on_decision)
        async with asyncio.timeout(20):
            for size in itertools.count(400):  # paper is filled from another book only
                if executed.keys() >= set(GROUP):
                    break
                book = snapshot([("0.49", size), ("0.48", 400)], BULLISH_ASKS, of=market)
                await nc.jetstream().publish(subject, encode_snapshot(book))
                told.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await told.wait()
    finally:
        await nc.close()
    return executed


def check_metrics(metrics: str) -> None:
    """Each account has its own of what it does, and what the worker does is counted once."""
    for name in (
        "worker_books_total ",
        "worker_books_conflated_total",
        "worker_book_age_seconds_bucket",
        "worker_decode_seconds_bucket",
        "worker_decide_seconds_bucket",
        "worker_claim_seconds_bucket",
        "worker_post_seconds_bucket",
    ):
        assert name in metrics
    for account in GROUP:
        for name in (
            f'worker_holds_total{{reason="no_imbalance",strategy="{account}"}}',
            f'worker_claims_refused_total{{reason="max_positions",strategy="{account}"}}',
            f'worker_orders_total{{answer="matched",strategy="{account}"}} 1.0',
            f'worker_orders_rejected_total{{reason="no_match",strategy="{account}"}}',
        ):
            assert name in metrics
    labels = set(re.findall(r"([a-z_]+)=\"", metrics))
    assert labels == {"strategy", "reason", "answer", "le"}  # closed sets; no market is a label


async def test_one_worker_serves_two_live_accounts_of_one_wallet_and_a_shadow_on_paper(
    nats_server: NatsServer, dynamodb_server: str, state_table: str
) -> None:
    async with open_desk() as desk:
        env = {
            "NATS_URL": nats_server.url,
            "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_server,
            "STATE_TABLE": state_table,
            "DECISION_TABLE": decision_table_of(state_table),
            "EXECUTION": "live",
            "STRATEGIES": "first=book_imbalance_crypto,second=book_imbalance_crypto,"
            "shadow=book_imbalance_crypto@paper",
            "CLOB_URL": desk.url,
            "GAMMA_URL": desk.url,
            "PRIVATE_KEY": HexBytes(KEY.key).to_0x_hex(),
            "WALLET": WALLET,
        }
        async with worker(env) as process:
            line = await said(process, "worker_started")
            at = f"http://127.0.0.1:{line['metrics_port']}"
            assert await fetched(f"{at}/healthz") == (200, "ok")
            executed = await executed_by_all(nats_server.url, desk)
            status, metrics = await fetched(f"{at}/metrics")
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(30):
                assert await process.wait() == 0
        posted = {entry.order_id: entry.verdict for entry in desk.venue.journal.entries}
    assert status == 200
    check_metrics(metrics)
    assert {name: each.reason for name, each in executed.items()} == dict.fromkeys(GROUP, "matched")
    assert posted == {executed[name].order_id: "matched" for name in ("first", "second")}
    for name in GROUP:
        async with store_on(dynamodb_server, state_table, name) as store:
            [claim] = (await store.account()).claims.values()
            assert claim.order_id == executed[name].order_id
            assert set(await store.accounts_of_wallet(WALLET)) == {"first", "second"}


async def test_it_is_not_well_before_it_can_take_books(
    monkeypatch: pytest.MonkeyPatch,
    nats_server: NatsServer,
    dynamodb_server: str,
    state_table: str,
) -> None:
    for name, value in CREDENTIALS_ENV.items():
        monkeypatch.setenv(name, value)
    waiting, go_on = asyncio.Event(), asyncio.Event()
    start = BookPull.start
    older = [each for each in gc.get_objects() if isinstance(each, LastAnswer)]

    async def slow(pull: BookPull) -> None:
        waiting.set()
        await go_on.wait()
        await start(pull)

    monkeypatch.setattr(BookPull, "start", slow)
    monkeypatch.setattr(worker_module, "freeze_heap", lambda: None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = WorkerSettings(
        nats_url=nats_server.url,
        aws_endpoint_url_dynamodb=dynamodb_server,
        state_table=state_table,
        metrics_port=port,
    )
    serving = asyncio.create_task(worker_module.serve(settings, "w"))
    try:
        async with asyncio.timeout(20):
            await waiting.wait()
            status, sentence = await fetched(f"http://127.0.0.1:{port}/healthz")
            assert (status, "JetStream" in sentence) == (503, True)
            go_on.set()
            while status != 200:
                status, _ = await fetched(f"http://127.0.0.1:{port}/healthz")
            monkeypatch.setattr(book_pull, "SILENT_MAX_S", -1.0)
            status, sentence = await fetched(f"http://127.0.0.1:{port}/healthz")
        assert status == 503
        assert sentence.startswith("no answer to requests for books (JetStream, BOOKS) for ")
        monkeypatch.setattr(book_pull, "SILENT_MAX_S", 15.0)
        kept = [
            each
            for each in gc.get_objects()
            if isinstance(each, LastAnswer) and not any(each is other for other in older)
        ]
        for silent in (
            f"table {state_table} has not answered",
            "nothing of stream DECISIONS can be read and stored",
        ):
            [answers] = [each for each in kept if each._says == silent]
            answers.silent_max_s = -1.0
            status, sentence = await fetched(f"http://127.0.0.1:{port}/healthz")
            assert (status, sentence.startswith(f"{silent} for ")) == (503, True)
            answers.silent_max_s = 30.0
    finally:
        await stop_tasks(serving)
