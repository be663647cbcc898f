"""A cloud on this machine: ministack as a process of its own, and what is asked of it.

It serves on a free loopback port, from memory, and is gone with its process: the tables, the
secrets and the Lambda processes too.

What it does not model (1.5.33, seen by trying): IAM, reserved concurrency that a template sets,
a function's dead-letter queue, the stack policy, point-in-time recovery and encryption. Python
functions run in the interpreter that ministack itself runs in, whatever runtime they name, with
its packages behind theirs; a function URL takes any signature, but not none. EventBridge rules do
fire, a minute after they were made and each minute from then on.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError

from local.child import ROOT, Child
from sandbox.dynamodb import CREDENTIALS_ENV, REGION

MINISTACK_VENV: Final = ROOT / ".venv-ministack"
INVOKE_TIMEOUT_S: Final = 90
"""Longer than the longest function may take."""
_READY_TIMEOUT_S: Final = 30
_LOG_PAGES_MAX: Final = 20
_SERVICES: Final = ("cloudformation", "dynamodb", "lambda", "logs", "secretsmanager")
_CONFIG: Final = AioConfig(
    connect_timeout=5,
    read_timeout=INVOKE_TIMEOUT_S,
    # No second try: it would invoke a function twice, and hide what does not work.
    retries={"total_max_attempts": 1},
)


class CloudError(Exception):
    """The local cloud, or a function in it, did not do as asked; one sentence."""


@asynccontextmanager
async def ministack(child: Child) -> AsyncIterator[str]:
    """Run it while the context lasts; its URL. Raises ChildError or CloudError."""
    with TemporaryDirectory(prefix="ministack-") as home:
        # A socket that is already ours: a port that is free now may be taken in a second.
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            await child.start(
                # Safe path: the rooms of this project must not stand for packages of ministack's.
                *(str(MINISTACK_VENV / "bin" / "python"), "-P", "-m", "hypercorn"),
                *("ministack.app:app", "--bind", f"fd://{listening.fileno()}", "--workers", "0"),
                *("--keep-alive", "75"),  # longer than an SDK keeps an idle connection
                env={
                    "GATEWAY_PORT": str(port),
                    "MINISTACK_REGION": REGION,
                    "IOT_MTLS_ENABLED": "0",  # otherwise it listens on 8883 as well
                    "SFTP_ENABLED": "0",
                    # At its start and end it removes containers that bear its label.
                    "DOCKER_HOST": f"unix://{home}/no-docker-here",
                    "HOME": home,
                    "TMPDIR": home,
                },
                pass_fds=[listening.fileno()],
            )
        url = f"http://127.0.0.1:{port}"
        try:
            await _answers(child, url)
            yield url
        finally:
            # All of its group, functions at work included: nothing in it is worth a tidy end.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.stop()


async def _answers(child: Child, url: str) -> None:
    """Waits in the socket's queue until somebody serves it."""
    timeout = aiohttp.ClientTimeout(total=_READY_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url}/_ministack/health") as response,
        ):
            response.raise_for_status()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CloudError(f"ministack is not ready ({error!r}){child.last_words()}") from error


class Cloud:
    """What is asked of ministack. Every method raises CloudError."""

    def __init__(self, url: str, clients: dict[str, Any], http: aiohttp.ClientSession) -> None:
        self.url = url
        self._of = clients
        self._http = http

    async def put_secret(self, name: str, value: str) -> str:
        """Store a secret; its ARN."""
        answer = await self._ask("secretsmanager", "create_secret", Name=name, SecretString=value)
        return str(answer["ARN"])

    async def resources(self, stack: str) -> dict[str, str]:
        """Physical name of each resource, by its logical name."""
        answer = await self._ask("cloudformation", "describe_stack_resources", StackName=stack)
        return {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for each in answer["StackResources"]
        }

    async def left(self) -> list[str]:
        """One word for each table, function and stack there is."""
        tables = (await self._ask("dynamodb", "list_tables"))["TableNames"]
        functions = (await self._ask("lambda", "list_functions"))["Functions"]
        stacks = (await self._ask("cloudformation", "list_stacks"))["StackSummaries"]
        return [
            *(f"table {name}" for name in tables),
            *(f"function {each['FunctionName']}" for each in functions),
            *(
                f"stack {each['StackName']}"
                for each in stacks
                if each["StackStatus"] != "DELETE_COMPLETE"
            ),
        ]

    async def items(self, table: str) -> list[dict[str, Any]]:
        """Every item of a small table, in DynamoDB's notation."""
        found: list[dict[str, Any]] = []
        start: dict[str, Any] = {}
        while True:
            page = await self._ask(
                "dynamodb", "scan", TableName=table, ConsistentRead=True, **start
            )
            found += page["Items"]
            if "LastEvaluatedKey" not in page:
                return found
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    async def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """What the function returned for `event`."""
        answer = await self._ask(
            "lambda",
            "invoke",
            FunctionName=function,
            Payload=json.dumps(event).encode(),
            LogType="Tail",
        )
        async with answer["Payload"] as stream:
            payload = json.loads(await stream.read())
        if "FunctionError" in answer:
            log = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
            said = "".join(f"\n    {line}" for line in log.splitlines()[-8:])
            raise CloudError(f"{function} failed: {payload.get('errorMessage', payload)}{said}")
        return payload

    async def configuration(self, function: str) -> dict[str, Any]:
        """How the function is set up: memory, timeout, environment."""
        answer: dict[str, Any] = await self._ask(
            "lambda", "get_function_configuration", FunctionName=function
        )
        return answer

    async def log_lines(self, function: str) -> list[str]:
        """What the function has logged, the platform's own lines among it."""
        lines: list[str] = []
        more: dict[str, str] = {}
        for _ in range(_LOG_PAGES_MAX):
            page = await self._ask(
                "logs", "filter_log_events", logGroupName=f"/aws/lambda/{function}", **more
            )
            lines += [event["message"] for event in page["events"]]
            if "nextToken" not in page:
                break
            more = {"nextToken": page["nextToken"]}
        return lines

    async def function_url(self, function: str) -> str:
        """Where its function URL is served on this machine."""
        answer = await self._ask("lambda", "get_function_url_config", FunctionName=function)
        name = str(answer["FunctionUrl"]).split("://")[1].split(".")[0]
        return f"{self.url}/_aws/lambda-url/{name}"

    async def request(
        self, method: str, url: str, body: dict[str, Any] | None = None, *, signed: bool = True
    ) -> tuple[int, Any]:
        """Status and JSON body of the answer to an HTTP request, signed as IAM wants it."""
        request = AWSRequest(
            method,
            url,
            data=b"" if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        if signed:
            key, secret = (
                CREDENTIALS_ENV[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
            )
            SigV4Auth(Credentials(key, secret), "lambda", REGION).add_auth(request)
        try:
            async with self._http.request(
                method, url, data=request.data, headers=dict(request.headers)
            ) as response:
                return response.status, json.loads(await response.read() or b"null")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise CloudError(f"{method} {url}: {error!r}") from error

    async def _ask(self, service: str, operation: str, **parameters: Any) -> Any:
        try:
            async with asyncio.timeout(INVOKE_TIMEOUT_S):
                return await getattr(self._of[service], operation)(**parameters)
        except (ClientError, BotoCoreError, aiohttp.ClientError, OSError) as error:
            text = " ".join(str(error).split()) or type(error).__name__
            raise CloudError(f"ministack, {operation}: {text}") from error


@asynccontextmanager
async def opened_cloud(url: str) -> AsyncIterator[Cloud]:
    """A `Cloud` at `url`, with its connections."""
    session = get_session()
    here = {
        "aws_access_key_id": CREDENTIALS_ENV["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": CREDENTIALS_ENV["AWS_SECRET_ACCESS_KEY"],
        "region_name": REGION,
        "endpoint_url": url,
        "config": _CONFIG,
    }
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=INVOKE_TIMEOUT_S))
        )
        clients = {
            name: await stack.enter_async_context(session.create_client(name, **here))
            for name in _SERVICES
        }
        yield Cloud(url, clients, http)


def missing_tools(zips: Sequence[Path]) -> list[str]:
    """One sentence for each thing that must be made before."""
    wanted = {
        MINISTACK_VENV / ".installed": "make ministack",  # the make target's last step
        ROOT / "deploy" / "node_modules" / ".bin" / "osls": "make infra-tools",
        **dict.fromkeys(zips, "make package"),
    }
    return [
        f"{path.relative_to(ROOT)} is missing: run `{command}`"
        for path, command in wanted.items()
        if not path.exists()
    ]
