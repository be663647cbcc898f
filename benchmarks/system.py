"""The processes of one run, as one tree of this project has them; the venue is in this process.

A *tree* is a folder with this project's code: this one, or a worktree of another commit. Feeders,
workers and nats-server are started with that folder as their own; venue, driver and whoever listens
are always of this tree, so what is compared is what they are given the same.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from eth_account import Account
from hexbytes import HexBytes

from functions.core.ask import bids_wanted
from functions.settings import DEFAULT_STRATEGY
from local.child import ROOT, Child
from protocol.book import PUBLISHED_BIDS_MIN
from sandbox.cluster import start_dynamodb
from sandbox.dynamodb import CREDENTIALS_ENV, decision_table_of
from sandbox.services import STATE_TABLE, WITHOUT_CERTIFICATES
from sandbox.simulator import deposit_wallet_of
from strategies.builtin import BUILTIN

_STRATEGY: Final = BUILTIN[DEFAULT_STRATEGY]
PUBLISHED_BIDS: Final = max(PUBLISHED_BIDS_MIN, bids_wanted(_STRATEGY, _STRATEGY.Parameters()))
"""Of each book, as many as the strategy that runs says that it looks at: what `executor paper` and
`executor live` find out. A tree that does not know the variable publishes all."""
_NATS: Final = ROOT / "benchmarks" / "nats_server.py"


@dataclasses.dataclass(frozen=True)
class Tree:
    """A folder with this project's code."""

    name: str
    root: Path = ROOT

    async def start(self, child: Child, *arguments: str, env: Mapping[str, str]) -> None:
        """Start this Python with `arguments` there, with that tree's code and no other."""
        await child.start(
            sys.executable,
            *arguments,
            env={"PYTHONPATH": str(self.root), **WITHOUT_CERTIFICATES, **env},
            cwd=self.root,
        )

    def answer(self, program: str) -> Any:
        """What a program prints as JSON that is run there. Raises CalledProcessError."""
        done = subprocess.run(  # noqa: S603 - this Python, and a program of ours
            (sys.executable, "-c", program),
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root)},
            stdout=subprocess.PIPE,
            check=True,
        )
        return json.loads(done.stdout)


TODAY: Final = Tree("today")


class TreeProcesses:
    """Those of one run, by what they are; `pids` is what their times are read of."""

    def __init__(self, stack: AsyncExitStack, tree: Tree, scratch: Path) -> None:
        self._stack = stack
        self._tree = tree
        self.scratch = scratch
        self.nats_url = ""
        self.pids: dict[str, list[int]] = {}
        self.children: dict[str, list[Child]] = {}

    async def start(self, kind: str, *arguments: str, env: Mapping[str, str]) -> Child:
        """One more of a kind; it is stopped when the run ends. Raises ChildError, OSError."""
        of_kind = self.children.setdefault(kind, [])
        child = self._child(f"{kind}-{len(of_kind)}")
        await self._tree.start(child, *arguments, env=env)
        of_kind.append(child)
        self.pids.setdefault(kind, []).append(child.pid)
        return child

    async def start_nats(self) -> None:
        """nats-server, as the tree starts it. Raises ChildError."""
        child = self._child("nats")
        await self._tree.start(child, "-P", str(_NATS), str(self.scratch), env={})
        said = await child.wait_for("nats_url")
        self.nats_url = str(said["nats_url"])
        self.pids["nats-server"] = [int(str(said["pid"]))]

    async def start_dynamodb(self) -> str:
        """Serialised moto, of this tree; its URL. Raises ChildError."""
        child = self._child("dynamodb")
        url = await start_dynamodb(child)
        self.pids["moto"] = [child.pid]
        return url

    async def started(self, kind: str, event: str) -> list[dict[str, object]]:
        """What each of a kind says once it has started. Raises ChildError."""
        return [await child.wait_for(event) for child in self.children[kind]]

    def _child(self, name: str) -> Child:
        child = Child(name, self.scratch)
        self._stack.push_async_callback(child.stop)
        return child


@asynccontextmanager
async def processes_of(tree: Tree) -> AsyncIterator[TreeProcesses]:
    """None yet; all that are started end with the context."""
    async with AsyncExitStack() as stack:
        scratch = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)
        )
        yield TreeProcesses(stack, tree, Path(scratch))


def feeder_env(url: str) -> dict[str, str]:
    """Where a feeder finds the venue, and how much of a book it publishes."""
    return {
        "PUBLISHED_BIDS": str(PUBLISHED_BIDS),
        "GAMMA_URL": url,
        "CLOB_URL": url,
        "MARKET_WS_URL": url.replace("http://", "ws://") + "/ws/market",
        "METRICS_PORT": "0",
    }


def signer_env() -> dict[str, str]:
    """A key of its own, and its wallet at the simulated venue."""
    key = Account.create()
    return {
        "PRIVATE_KEY": HexBytes(key.key).to_0x_hex(),
        "WALLET": deposit_wallet_of(key.address),
    }


def worker_env(nats_url: str, venue_url: str, state: str, dynamodb_url: str) -> dict[str, str]:
    """Of workers of one live account with as good as no limits."""
    return {
        **signer_env(),
        **CREDENTIALS_ENV,
        "NATS_URL": nats_url,
        "GAMMA_URL": venue_url,
        "CLOB_URL": venue_url,
        "METRICS_PORT": "0",
        "STATE": state,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url or "http://127.0.0.1:9",
        "STATE_TABLE": STATE_TABLE,
        "DECISION_TABLE": decision_table_of(STATE_TABLE),
        "EXECUTION": "live",
        "MAX_POSITIONS": "50",
        "COOLDOWN_S": "0",
        "MIN_TIME_TO_CLOSE_S": "0",
    }
