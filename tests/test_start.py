"""What each process says at start where a person has something to mend: one line, exit code 2.

The processes are the real ones, each with each kind of mistake that it can meet; the many spellings
of a kind are tried where they are read (`tests/runtime/test_addresses.py`, `test_aws_mistakes.py`).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from sandbox.dynamodb import CREDENTIALS_ENV
from sandbox.processes import FORK_SERVER
from tests.support.dynamodb_engines import dynamodb_server, state_table
from tests.support.dynamodb_items import client_of
from tests.support.servers import NatsServer

__all__ = ["dynamodb_server", "state_table"]

ROOT = Path(__file__).parents[1]
API = {
    "API_KEY": "key",
    "API_SECRET": "c2VjcmV0",
    "API_PASSPHRASE": "word",
    "API_ADDRESS": "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",
}
PROCESSES: dict[str, tuple[list[str], dict[str, str]]] = {
    "worker": (["functions.worker"], {}),
    "schedule": (["functions.schedule"], {}),
    "feeder": (["feeder"], {}),
    "user feeder": (["feeder", "user"], API),
    "executor status": (["executor", "status"], {}),
    "executor halt": (["executor", "halt", "--reason", "odd"], {}),
    "executor reconcile": (["executor", "reconcile"], {}),
}
ALL = tuple(PROCESSES)
COMMANDS = ("executor status", "executor halt", "executor reconcile")
SERVICES = ("worker", "schedule", "feeder", "user feeder")
ON_NATS = ("worker", "feeder", "user feeder")
ON_THE_TABLE = ("worker", "schedule", "executor status", "executor halt")
NO_HOST = {"CLOB_URL": "http://a..b", "GAMMA_URL": "http://a..b"}
NOWHERE = "127.0.0.1:1"
BASE = {
    "PATH": os.environ["PATH"],
    "METRICS_PORT": "0",
    "NATS_URL": f"nats://{NOWHERE}",
    "AWS_ENDPOINT_URL_DYNAMODB": f"http://{NOWHERE}",
    "CLOB_URL": f"http://{NOWHERE}",
    "GAMMA_URL": f"http://{NOWHERE}",
    "MARKET_WS_URL": f"ws://{NOWHERE}",
    "USER_WS_URL": f"ws://{NOWHERE}",
    **CREDENTIALS_ENV,
}


async def refused(process: str, env: Mapping[str, str]) -> str:
    """The one line that it says before it ends with 2."""
    argv, own = PROCESSES[process]
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *argv),
        cwd=ROOT,
        env={**BASE, **own, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(40):
            _, stderr = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    text = stderr.decode()
    assert child.returncode == 2, text
    return the_line(text)


def the_line(text: str) -> str:
    assert "Traceback" not in text
    [line] = [each for each in text.splitlines() if not each.startswith("{")]  # but for its log
    return line


def cases(
    *rows: tuple[tuple[str, ...], dict[str, str], str],
) -> list[tuple[str, dict[str, str], str]]:
    return [(process, env, variable) for who, env, variable in rows for process in who]


@pytest.mark.parametrize(
    ("process", "env", "variable"),
    cases(
        (ALL, {"SSL_CERT_FILE": "/no/such/file"}, "SSL_CERT_FILE"),
        (("executor status",), {"SSL_CERT_FILE": "/dev/zero"}, "SSL_CERT_FILE"),
    ),
)
async def test_a_mistake_that_an_import_may_meet_is_one_line_that_begins_with_its_variable(
    process: str, env: dict[str, str], variable: str
) -> None:
    assert begins_with(variable, await refused(process, env))


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize(
    ("process", "env", "variable"),
    cases(
        (COMMANDS, NO_HOST, "URL"),
        (("executor halt",), {"STATE_TABLE": "   "}, "STATE_TABLE"),
        (("executor status",), {"AWS_PROFILE": "nobody"}, "AWS_PROFILE"),
        (("executor halt",), {"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY"),
        (("executor reconcile",), {"AWS_REGION": "no region"}, "AWS_REGION"),
    ),
)
async def test_a_mistake_is_one_line_that_begins_with_its_variable(
    process: str, env: dict[str, str], variable: str
) -> None:
    assert begins_with(variable, await refused(process, env))


def begins_with(variable: str, line: str) -> bool:
    wanted = ("CLOB_URL", "GAMMA_URL") if variable == "URL" else variable
    return line.partition(": ")[2].startswith(wanted)


OF_SERVICES = cases(
    (SERVICES, NO_HOST, "URL"),
    (("user feeder",), {"USER_WS_URL": "ws://u:hunter2@h"}, "USER_WS_URL"),
    (("worker",), {"AWS_SESSION_TOKEN": "word\r\n"}, "AWS_SESSION_TOKEN"),
    (SERVICES, {"METRICS_HOST": "192.0.2.1"}, "METRICS_HOST"),
    (ON_NATS, {"NATS_URL": "nats://::1:4222"}, "NATS_URL"),
    (("worker", "schedule"), {"AWS_CA_BUNDLE": str(ROOT / "README.md")}, "AWS_CA_BUNDLE"),
    (("schedule",), {"AWS_PROFILE": "nobody"}, "AWS_PROFILE"),
    (("schedule",), {"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY"),
    (("schedule",), {"AWS_REGION": "no region"}, "AWS_REGION"),
)


# Forked by one process that has imported everything: each start would import for over a second.
# What an import may read of the environment, certificates, is tried above.
@pytest.mark.timeout(120)
async def test_a_mistake_of_a_service_is_one_line_that_begins_with_its_variable(
    tmp_path: Path,
) -> None:
    logs = {f"{number} {case[0]}": case for number, case in enumerate(OF_SERVICES)}
    for name, code in (await forked(logs, tmp_path)).items():
        _, env, variable = logs[name]
        text = (tmp_path / name).read_text()
        assert code == 2, f"{name} {env}: {text}"
        assert begins_with(variable, the_line(text)), f"{name} {env}: {text}"


async def forked(
    cases: Mapping[str, tuple[str, dict[str, str], str]], log_dir: Path
) -> dict[str, int]:
    """Exit codes, by name; what each says is in the file of its name."""
    fork_server = await asyncio.create_subprocess_exec(
        *FORK_SERVER, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert fork_server.stdin is not None and fork_server.stdout is not None
    codes: dict[str, int] = {}
    try:
        for name, (process, env, _) in cases.items():
            [module, *arguments], own = PROCESSES[process]
            request = {"name": name, "module": module, "arguments": arguments}
            request |= {"env": {**BASE, **own, **env}, "log": str(log_dir / name)}
            fork_server.stdin.write(json.dumps(request).encode() + b"\n")
        async with asyncio.timeout(100):
            while len(codes) < len(cases):
                said = json.loads(await fork_server.stdout.readline())
                if "ended" in said:
                    codes[said["ended"]] = said["code"]
    finally:
        fork_server.stdin.close()
        fork_server.kill()
        await fork_server.wait()
    return codes


@pytest.fixture
async def without_jetstream(tmp_path: Path) -> AsyncIterator[str]:
    (tmp_path / "nats.conf").write_text("max_payload: 1MB\n")
    with NatsServer(tmp_path / "unused", tmp_path / "nats.conf") as server:
        yield server.url


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("process", ON_NATS)
async def test_a_nats_without_jetstream_is_refused(
    process: str, without_jetstream: str, dynamodb_server: str, state_table: str
) -> None:
    table = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_server, "STATE_TABLE": state_table}
    line = await refused(process, {"NATS_URL": without_jetstream, **table})
    assert line.startswith("cannot start: NATS_URL: ")
    assert "--jetstream" in line


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("process", ON_THE_TABLE)
async def test_a_table_with_other_keys_is_refused(
    process: str, nats_server: NatsServer, dynamodb_server: str
) -> None:
    client_of(dynamodb_server).create_table(
        TableName=f"other-{process.replace(' ', '-')}",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    env = {
        "NATS_URL": nats_server.url,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_server,
        "STATE_TABLE": f"other-{process.replace(' ', '-')}",
    }
    line = await refused(process, env)
    assert line.startswith("cannot start: STATE_TABLE: ")
    assert "pk and sk" in line
