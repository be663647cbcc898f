"""Writes a script into an embedded store until it is killed: `python -m tests.support.store_writer
FILE SYNCHRONOUS`.

A number on stdin begins a run: a process of its own (forked, so that it starts in a millisecond)
does the writes of `store_script` from that one on, and waits for its death after the last. It says
`pid N`, then one line with its number for each write that was answered. `ended` follows once it is
gone.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from functions.adapters.sqlite.store import open_stores
from tests.support.store_script import ACCOUNT, script


def tell(line: str) -> None:
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


async def write(path: Path, first: int, *, durable: bool) -> None:
    async with open_stores([ACCOUNT], path, durable=durable) as stores:
        for number, each in enumerate(script()[first:], first):
            await each(stores[ACCOUNT])
            tell(str(number))
        await asyncio.Event().wait()


def main() -> None:
    path, durable = Path(sys.argv[1]), sys.argv[2] == "FULL"
    script()
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            tell(f"pid {os.getpid()}")
            try:
                asyncio.run(write(path, int(line), durable=durable))
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        tell("ended")


if __name__ == "__main__":
    main()
