"""`python -m tests.fuzz`: rounds of damaged frames, as many as asked for, on all cores.

The result depends on the seed and the number of frames only, not on the number of processes. On a
failure it prints the command that plays that round alone, and the damages without which it passes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
import traceback
from collections.abc import Callable, Collection
from functools import partial

from tests.fuzz.play import FRAMES_A_RECOVERY, FRAMES_A_ROUND, Round, Score
from tests.fuzz.unshared import play_both
from tests.support.arguments import count


def main() -> int:
    """Exit code 0 when no round failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--frames", type=count, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="play this round alone, and make it smaller")
    parser.add_argument(
        "--both", action="store_true", help="compare with lines that share nothing: takes twice"
    )
    parser.add_argument("--processes", type=count, default=multiprocessing.cpu_count())
    arguments = parser.parse_args()
    if arguments.only is not None:
        return _alone(arguments.seed, arguments.only)
    begun = time.monotonic()
    total, failed = Score(), []
    play = partial(_play, arguments.seed, both=arguments.both)
    rounds = range(-(-arguments.frames // (FRAMES_A_ROUND + FRAMES_A_RECOVERY)))
    with multiprocessing.Pool(arguments.processes) as pool:
        for number, result in enumerate(pool.imap(play, rounds, chunksize=8)):
            if isinstance(result, Score):
                total.add(result)
            else:
                failed.append(number)
                if len(failed) <= 3:
                    command = f"python -m tests.fuzz --seed {arguments.seed} --only {number}"
                    _tell(f"{result}\nplay it alone: {command}\n")
    taken_s = time.monotonic() - begun
    rate = total.frames / taken_s
    _tell(f"{len(rounds)} rounds, {len(failed)} failed, {taken_s:.1f} s, {rate:,.0f} frames/s")
    _tell(str(total))
    if failed:
        _tell(f"failed rounds: {failed[:50]}")
    return 1 if failed else 0


def _play(seed: int, number: int, *, both: bool) -> Score | str:
    try:
        return play_both(seed, number) if both else Round(seed, number).play()
    except Exception as error:  # noqa: BLE001 - any exception at all is the finding
        return "".join(traceback.format_exception(error, limit=-4))


def _alone(seed: int, number: int) -> int:
    def play(without: Collection[str]) -> tuple[Exception | None, dict[str, str]]:
        game = Round(seed, number, without)
        try:
            game.play()
        except Exception as error:  # noqa: BLE001 - any exception at all is the finding
            return error, game.damages
        return None, game.damages

    error, damages = play(())
    if error is None:
        _tell(f"round {seed}/{number} passes")
        return 0
    needed = smallest(list(damages), lambda kept: play(damages.keys() - set(kept))[0] is not None)
    error, done = play(damages.keys() - set(needed))
    traceback.print_exception(error)
    for name, what in done.items():
        if name in needed or name not in damages:
            _tell(f"{name}: {what}")
    return 1


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def smallest(damages: list[str], fails_with: Callable[[list[str]], bool]) -> list[str]:
    """Those damages that a failure needs: halves are left out, then quarters, ..."""
    size = max(len(damages) // 2, 1)
    while True:
        for start in range(len(damages) - size, -1, -size):
            fewer = damages[:start] + damages[start + size :]
            if fails_with(fewer):
                damages = fewer
        if size == 1:
            return damages
        size //= 2


if __name__ == "__main__":
    sys.exit(main())
