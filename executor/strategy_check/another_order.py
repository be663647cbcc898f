"""The same books in another process, with another hash seed, and in another order.

    python -m executor.strategy_check.another_order ./my_strategy.py:MyStrategy <out>

What a strategy answers to a book must not depend on what it was asked before, nor on the process.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from executor.strategy_check.made_up_views import made_up_views
from executor.strategy_check.recorded_views import recorded_views, recordings, with_own_memory
from executor.strategy_check.report import StrategyCheck
from executor.strategy_check.trials import EVERY, answers_of
from functions.strategy_loading import load_strategy
from runtime.time_limit import TookTooLongError, within_s
from strategies.interface import Strategy
from strategies.view import MarketView

WHAT: Final = "deterministic"
STATELESS: Final = "keeps no state"
OTHER_HASH_SEED: Final = "4242"
_ANSWERS_MAX_S: Final = 15.0
_PROCESS_MAX_S: Final = 120.0
_DIGEST_BYTES: Final = 8


def sample() -> list[MarketView]:
    """What both processes ask about: each EVERY-th recorded book, and made-up ones."""
    recorded = [
        with_own_memory(view)
        for recording in recordings()
        for number, view in enumerate(recorded_views(recording))
        if number % EVERY == 0
    ]
    return [*recorded, *made_up_views(seed=2, count=500)]


def checks(strategy: type[Strategy], text: str, views: list[MarketView]) -> list[StrategyCheck]:
    """Whether it answers the same again: at once, and elsewhere in the reverse order."""
    try:
        with within_s(_ANSWERS_MAX_S, cpu=True):
            first, again = answers_of(strategy, views), answers_of(strategy, views)
    except TookTooLongError:
        return [_failed(WHAT, f"does not answer {len(views):,} books twice in time")]
    except BaseException:  # noqa: BLE001 - what it raises is another check's
        return [_failed(WHAT, "not known, because it raises")]
    differing = _differing(first, again)
    same = StrategyCheck(
        what=WHAT,
        ok=not differing,
        text=f"{differing:,} of {len(views):,} books were answered differently a second time"
        if differing
        else f"{len(views):,} books got the same answers twice",
    )
    return [same, _elsewhere(text, first)]


def _elsewhere(text: str, first: list[bytes]) -> StrategyCheck:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "answers"
        try:
            done = subprocess.run(  # noqa: S603 - this very module
                [sys.executable, "-m", __name__, text, str(out)],
                env={**os.environ, "PYTHONHASHSEED": OTHER_HASH_SEED},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_PROCESS_MAX_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _failed(STATELESS, f"in another process: no end within {_PROCESS_MAX_S:g} s")
        if done.returncode != 0 or not out.exists():
            return _failed(STATELESS, f"in another process: ended with {done.returncode}")
        answers = out.read_bytes()
    there = [answers[at : at + _DIGEST_BYTES] for at in range(0, len(answers), _DIGEST_BYTES)]
    differing = _differing([_digest(each) for each in first], there)
    if differing:
        return _failed(
            STATELESS,
            f"{differing:,} of {len(first):,} books were answered differently in another process "
            "and order: it remembers something, or depends on the process",
        )
    return StrategyCheck(
        what=STATELESS,
        ok=True,
        text="another process got the same answers in the reverse order",
    )


def _failed(what: str, text: str) -> StrategyCheck:
    return StrategyCheck(what=what, ok=False, text=text)


def _differing(first: list[bytes], second: list[bytes]) -> int:
    if len(first) != len(second):
        return max(len(first), len(second))
    return sum(one != other for one, other in zip(first, second, strict=True))


def _digest(answer: bytes) -> bytes:
    return hashlib.blake2b(answer, digest_size=_DIGEST_BYTES).digest()


def main(arguments: list[str]) -> int:
    """The other process."""
    text, out = arguments
    strategy = load_strategy(text)
    answers = answers_of(strategy, reversed(sample()))
    Path(out).write_bytes(b"".join(map(_digest, reversed(answers))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
