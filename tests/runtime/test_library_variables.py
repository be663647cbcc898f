"""Whatever libraries would read of the environment by themselves: it is dropped, in one line."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GARBAGE = {
    **dict.fromkeys(
        (
            *("ETH_HASH_BACKEND", "ETH_ACCOUNT_KDF", "ECC_BACKEND_CLASS", "TERMINAL_WIDTH"),
            *("WEBSOCKETS_BACKOFF_FACTOR", "WEBSOCKETS_BACKOFF_INITIAL_DELAY"),
            *("WEBSOCKETS_BACKOFF_MAX_DELAY", "WEBSOCKETS_BACKOFF_MIN_DELAY"),
            *("WEBSOCKETS_MAX_BODY_SIZE", "WEBSOCKETS_MAX_LINE_LENGTH", "WEBSOCKETS_MAX_LOG_SIZE"),
            *("WEBSOCKETS_MAX_NUM_HEADERS", "WEBSOCKETS_MAX_REDIRECTS"),
            *("BOTOCORE_EXPERIMENTAL__PLUGINS", "PYDANTIC_DISABLE_PLUGINS"),
            *("MPLBACKEND", "MATPLOTLIBRC"),
        ),
        "hunter2",
    ),
    "SSLKEYLOGFILE": "/no/hunter2",
    "PROMETHEUS_MULTIPROC_DIR": "/no/hunter2",
    "prometheus_multiproc_dir": "/no/hunter2",
}
USED = "import {}, eth_account; eth_account.Account.from_key('0x' + '11' * 32).address"
REFUSED = {"STRATEGY": "none", "SERIES": "none", "WS_URL": "none"}


async def told(*arguments: str, **env: str) -> tuple[int | None, list[str]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **GARBAGE, **env},
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    return process.returncode, stderr.decode().splitlines()


@pytest.mark.parametrize(
    "process",
    [
        *("functions.worker", "functions.schedule", "feeder", "feeder user"),
        *("executor status", "executor positions --ended 1"),
    ],
)
async def test_a_process_goes_on_without_them_and_says_so(process: str) -> None:
    code, lines = await told("-m", *process.split(), **REFUSED)
    assert code == 2, lines
    assert len(lines) == 2, lines
    assert '"library_variables_not_used"' in lines[0]
    assert "hunter2" not in lines[0]
    for name in GARBAGE:
        assert f'"{name}"' in lines[0]
    assert lines[1].startswith("cannot start: ")


@pytest.mark.parametrize("first", ["runtime.starting", "functions.aws.entry_points"])
async def test_a_key_is_used_without_them(first: str) -> None:
    assert await told("-c", USED.format(first)) == (0, [])
