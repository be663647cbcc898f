"""nats-server as one tree of this project starts it: `python -P benchmarks/nats_server.py FOLDER`.

Run in that tree, by its path in this one: a tree of another commit need not have this module. Says
`{"nats_url": ..., "pid": ...}` once it serves, and takes the server with it when it ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from local.child import Child
from local.nats_server import start_nats


async def _serve(folder: Path) -> None:
    child = Child("nats-server", folder)
    nats_url = await start_nats(child, folder)
    print(json.dumps({"nats_url": nats_url, "pid": child.pid}), flush=True)
    await child.ended()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
