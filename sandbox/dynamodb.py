"""A DynamoDB for one machine: moto behind a door that lets one request through at a time.

    python -m sandbox.dynamodb --table state [--host 127.0.0.1] [--port 0]

prints one JSON line `{"url": ..., "table": ..., "decision_table": ...}` once the tables of
`infra/state.yml` exist, `state` and `state-decisions`, and serves until SIGTERM or SIGINT (exit
code 0). Everything is in memory and gone afterwards.

1. Requests are executed strictly one after the other. moto evaluates a condition and applies the
   write in separate steps without a lock, so two threads inside it can both win one conditional
   write. Here its WSGI application is called on the event loop's only thread: there is no second.
2. Connections are kept alive, without Nagle's delay (aiohttp's defaults). moto's own server closes
   each connection after its answer, which would charge every claim with a TCP connect.

What it does not model: latency, throttling, transaction conflicts, replies that get lost, TTL
deletion, encryption, backups, deletion protection, permissions (any credentials are taken), a
restart.
"""

from __future__ import annotations

if __name__ == "__main__":
    import runtime.starting  # noqa: F401 - first: it takes signals while the rest is imported

import argparse
import asyncio
import io
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import botocore.session
import uvloop
import yaml
from aiohttp import web
from botocore.config import Config

from runtime.log import configure_logging
from runtime.process import freeze_heap

SHUTDOWN_TIMEOUT_S: Final = 1.0
"""A client that never sends the rest of its request must not hold up a stop."""
STATE_DEFINITION: Final = Path(__file__).parent.parent / "infra" / "state.yml"
REGION: Final = "eu-west-1"
CREDENTIALS_ENV: Final = {
    "AWS_ACCESS_KEY_ID": "sandbox",
    "AWS_SECRET_ACCESS_KEY": "sandbox",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    # Without it an SDK on a machine without credentials asks the cloud's metadata address.
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What a process needs in its environment to talk to this server: not a secret."""

_STATE_PLACEHOLDER: Final = "${self:custom.stateTable}"
_DECISION_PLACEHOLDER: Final = "${self:custom.decisionTable}"


def decision_table_of(table: str) -> str:
    """The name of the decision table that stands beside the state table `table` here."""
    return f"{table}-decisions"


def tables_properties(table: str) -> list[dict[str, Any]]:
    """CloudFormation properties of the tables in `infra/state.yml`: `table`, and its decisions'.

    Raises ValueError when the file does not define exactly these two, by their placeholders.
    """
    resources = _parsed(STATE_DEFINITION.read_text(encoding="utf-8"))["Resources"]
    defined = [each["Properties"] for each in resources.values()]
    names = {_STATE_PLACEHOLDER: table, _DECISION_PLACEHOLDER: decision_table_of(table)}
    if sorted(each.get("TableName", "") for each in defined) != sorted(names):
        raise ValueError(
            f"{STATE_DEFINITION.name}: expected two tables with TableName: {' and '.join(names)}"
        )
    return [{**each, "TableName": names[each["TableName"]]} for each in defined]


@cache
def _parsed(text: str) -> Any:
    """Tests make many tables of one definition, and this is a third of what one takes."""
    return yaml.safe_load(text)


@cache
def _session() -> botocore.session.Session:
    """One a process: each reads the service's description anew, a good part of a second."""
    return botocore.session.Session()


def create_tables(url: str, table: str) -> None:
    """Create the tables of `infra/state.yml` on the endpoint `url`, as CloudFormation would.

    Blocking. Raises botocore's exceptions, ResourceInUseException when a table exists, and
    ValueError for a property that this function does not know how to apply.
    """
    wanted = tables_properties(table)
    for properties in wanted:
        if unknown := properties.keys() - _APPLIED:
            raise ValueError(f"{STATE_DEFINITION.name}: cannot apply {', '.join(sorted(unknown))}")
    client: Any = _session().create_client(
        "dynamodb",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=CREDENTIALS_ENV["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS_ENV["AWS_SECRET_ACCESS_KEY"],
        config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}),
    )
    try:
        for properties in wanted:
            _create(client, **properties)
    finally:
        client.close()


_APPLIED: Final = frozenset(
    {
        "TableName",
        "BillingMode",
        "AttributeDefinitions",
        "KeySchema",
        "DeletionProtectionEnabled",
        "TimeToLiveSpecification",
        "PointInTimeRecoverySpecification",
        "SSESpecification",
    }
)


def _create(client: Any, **properties: Any) -> None:
    name = properties["TableName"]
    # A parameter of the stage. Here everything ends with the server.
    properties.pop("DeletionProtectionEnabled")
    time_to_live = properties.pop("TimeToLiveSpecification", None)
    recovery = properties.pop("PointInTimeRecoverySpecification")
    encryption = properties.pop("SSESpecification")
    client.create_table(**properties, SSESpecification={"Enabled": encryption["SSEEnabled"]})
    if time_to_live is not None:
        client.update_time_to_live(TableName=name, TimeToLiveSpecification=time_to_live)
    client.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=recovery)


def _environ(request: web.Request, body: bytes) -> dict[str, Any]:
    """The WSGI environment of one request (PEP 3333)."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query_string,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(request.url.port or 80),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    environ["CONTENT_LENGTH"] = str(len(body))
    return environ


@asynccontextmanager
async def dynamodb_server(host: str, port: int, table: str) -> AsyncIterator[str]:
    """Serve while the context lasts; yields the URL once `table` and its decision table exist.

    `port` 0 is a free one.

    Raises OSError when the address cannot be bound.
    """
    # Imported here: it takes most of a second, and `create_tables` does without it.
    from moto.moto_server.werkzeug_app import create_backend_app  # noqa: PLC0415 - see above

    # DynamoDB's application alone, not moto's dispatcher over all services: that one spends
    # 0.6 ms of every call on matching host names.
    wsgi_app = create_backend_app("dynamodb")

    async def answer(request: web.Request) -> web.Response:
        environ = _environ(request, await request.read())
        status = ""
        headers: list[tuple[str, str]] = []
        written: list[bytes] = []

        def start_response(
            line: str, items: list[tuple[str, str]], _: Any = None, /
        ) -> Callable[[bytes], object]:
            nonlocal status, headers
            status, headers = line, items
            return written.append

        # No await from here to the end of the body: this is what serialises the requests.
        body = b"".join([*wsgi_app(environ, start_response), *written])
        code, _, reason = status.partition(" ")
        # moto's refusals are of another type, DynamoDB's are not.
        typed = {**dict(headers), "Content-Type": "application/x-amz-json-1.0"}
        return web.Response(status=int(code), reason=reason, body=body, headers=typed)

    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        url = f"http://{host}:{runner.addresses[0][1]}"
        # In a thread, because it blocks and this loop must answer it.
        await asyncio.to_thread(create_tables, url, table)
        yield url
    finally:
        await runner.cleanup()


async def _serve(host: str, port: int, table: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with dynamodb_server(host, port, table) as url:
        freeze_heap()  # moto's heap is large: full collections would stall a claim by 100 ms
        tables = {"table": table, "decision_table": decision_table_of(table)}
        print(json.dumps({"url": url, **tables}), flush=True)
        await stop.wait()


def main() -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.dynamodb")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--table", required=True)
    arguments = parser.parse_args()
    configure_logging(service="dynamodb")
    try:
        uvloop.run(_serve(arguments.host, arguments.port, arguments.table))
    except OSError as error:
        sys.exit(f"cannot serve on {arguments.host}:{arguments.port}: {error.strerror or error}")


if __name__ == "__main__":
    main()
