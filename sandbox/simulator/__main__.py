"""The simulated venue as a process: `python -m sandbox.simulator --speed 10 --markets 6`.

Prints one JSON line on stdout when it is ready, and ends on SIGTERM, SIGINT or SIGHUP.
What goes wrong is set while it runs: POST /sandbox/faults (see `sandbox.simulator.faults`). Until
then only the venue's habits are on, which are no failures: null instead of empty lists, and amounts
that end a unit short, in half of the answers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Final, NoReturn

import msgspec
import uvloop

from protocol.units import to_usd_e6
from recordings.loader import BundledRecordingError, bundled, load
from sandbox.simulator.app import serve
from sandbox.simulator.faults import HABITS
from sandbox.simulator.flood import Flood
from sandbox.simulator.recorded_markets import RecordedMarkets, SimulatorError, series_at
from sandbox.simulator.venue import Venue

EXIT_REFUSED: Final = 2


def main() -> None:
    """Parse, check, run. Exits 2 with one line when something is not possible."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.simulator", description=__doc__)
    parser.add_argument("--speed", type=int, default=10, help="how much faster than life")
    parser.add_argument("--markets", type=int, default=6, help="how many series, 1 to 6")
    parser.add_argument("--balance-usd", default="1000", help="of each wallet that logs in")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, default=0, help="of the faults that are drawn")
    parser.add_argument(
        "--flood", type=int, default=0, help="instead of recordings, so many made-up changes/s"
    )
    parser.add_argument(
        "--focus", type=float, default=0.0, help="share of the flood on the first series, 0 to 1"
    )
    parser.add_argument(
        "--keep-versions", type=int, default=0, help="of each book, for GET /sandbox/version"
    )
    options = parser.parse_args()
    if not 0 <= options.port <= 65_535:
        parser.error("--port: 0 to 65535")
    try:
        series = series_at(options.speed, options.markets)
        _check(options)
        venue = Venue(
            balance_e6=_usd_e6(options.balance_usd),
            seed=options.seed,
            keep_versions=options.keep_versions,
        )
        venue.faults = msgspec.structs.replace(HABITS)
        markets: RecordedMarkets | Flood
        if options.flood:
            markets = Flood(
                venue,
                series,
                changes_per_s=options.flood,
                focus=options.focus,
                seed=options.seed,
            )
        else:
            markets = RecordedMarkets(venue, [load(path) for path in bundled()], series)
    except (SimulatorError, BundledRecordingError, OSError) as error:
        _refuse_to_start(str(error))
    try:
        uvloop.run(_run(venue, markets, options.host, options.port, [s.name for s in series]))
    except OSError as error:
        _refuse_to_start(f"cannot listen on {options.host}:{options.port}: {error.strerror}")


def _check(options: argparse.Namespace) -> None:
    for name in ("flood", "keep_versions"):
        if getattr(options, name) < 0:
            raise SimulatorError(f"{name.replace('_', ' ')} {getattr(options, name)} is negative")
    if not 0 <= options.focus <= 1:
        raise SimulatorError(f"focus {options.focus} is not between 0 and 1")


async def _run(
    venue: Venue, markets: RecordedMarkets | Flood, host: str, port: int, series: list[str]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    async with serve(venue, host, port) as url:
        playing = asyncio.create_task(markets.run())
        playing.add_done_callback(lambda _: stop.set())
        sys.stdout.write(json.dumps({"url": url, "series": series}) + "\n")
        sys.stdout.flush()
        await stop.wait()
        playing.cancel()
        with suppress(asyncio.CancelledError):
            await playing
    sys.stderr.write(f"stopped; {len(venue.journal.entries)} orders were received\n")


def _refuse_to_start(reason: str) -> NoReturn:
    sys.stderr.write(f"cannot start: {reason}\n")
    sys.exit(EXIT_REFUSED)


def _usd_e6(text: str) -> int:
    try:
        amount_e6 = to_usd_e6(Decimal(text))
    except (InvalidOperation, ValueError) as error:
        raise SimulatorError(f"balance {text!r} is not an amount of USD") from error
    if amount_e6 < 0:
        raise SimulatorError(f"balance {text!r} is negative")
    return amount_e6


if __name__ == "__main__":
    main()
