"""Plays a recording as a venue: `python -m sandbox.playback DIR`; see `server.py`."""

from __future__ import annotations

if __name__ == "__main__":
    import runtime.starting  # noqa: F401 - first: it takes signals while the rest is imported

import argparse
import asyncio
import json
import math
import signal
import sys
from pathlib import Path

import uvloop

from feeder.recording.errors import RecordingError
from runtime.log import configure_logging
from runtime.process import stop_tasks
from runtime.settings import refuse_to_start
from sandbox.playback.server import PlaybackServer, serve


def main() -> None:
    """Parse, check, run. Exits 2 with one line when something is not possible."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.playback", description=__doc__)
    parser.add_argument("recording", type=Path, help="its directory, or one of its files")
    parser.add_argument("--speed", type=float, default=1.0, help="0: as fast as is read")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    options = parser.parse_args()
    if not 0 <= options.port <= 65_535:
        parser.error("--port: 0 to 65535")
    configure_logging(service="raw-playback")
    if not 0 <= options.speed < math.inf:
        refuse_to_start(f"speed {options.speed:g} is not possible")
    try:
        uvloop.run(
            _run(PlaybackServer(options.recording, options.speed), options.host, options.port)
        )
    except RecordingError as error:
        refuse_to_start(str(error))
    except OSError as error:
        refuse_to_start(f"cannot listen on {options.host}:{options.port}: {error.strerror}")


async def _run(playback: PlaybackServer, host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serve(playback, host, port) as url:
        playing = asyncio.create_task(playback.play())
        stopping = asyncio.create_task(stop.wait())
        sys.stdout.write(json.dumps({"url": url, "series": playback.series}) + "\n")
        sys.stdout.flush()
        await asyncio.wait((playing, stopping), return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            playing.result()  # raises what went wrong with the recording
        await stopping  # the last books stay until a signal ends it
        await stop_tasks(playing)


if __name__ == "__main__":
    main()
