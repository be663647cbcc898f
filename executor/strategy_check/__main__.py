"""The process in which a strategy is proven; `executor.strategy_check.run` starts it.

    python -m executor.strategy_check ./my_strategy.py:MyStrategy <out> <seconds>

Writes a line of JSON for each thing that it begins or has found, so that what was found is known
however this process ends.
"""

from __future__ import annotations

import inspect
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from executor.strategy_check import another_order, bids_seen
from executor.strategy_check.measures import memory_check, time_check
from executor.strategy_check.module_state import changed, modules_of, state_of
from executor.strategy_check.parameter_rules import parameter_check
from executor.strategy_check.report import StrategyCheck
from executor.strategy_check.source_rules import broken_rules
from executor.strategy_check.trials import Trials
from functions.core.strategy_rules import StrategyNotUsableError, one_line
from functions.strategy_loading import file_of, load_strategy

MEMORY_MAX_BYTES: Final = 4 << 30
_TOLD_MAX: Final = 5


def main(arguments: list[str]) -> int:
    """Prove what the first argument names; the second is the file that is written. After so much
    CPU time (the third) the kernel ends this process, whatever a loop in it catches."""
    text, out, cpu_max_s = arguments
    for limit, most in (
        (resource.RLIMIT_CPU, int(cpu_max_s)),
        (resource.RLIMIT_AS, MEMORY_MAX_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(limit)  # which stays: at that one the kernel says nothing
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(limit, (most, hard))
    with Path(out).open("wb", buffering=0) as file:
        for said in _proof(text):
            _write(file, said)
        _write(file, {"ended": True})
    return 0


def _write(file: IO[bytes], said: dict[str, Any]) -> None:
    file.write(msgspec.json.encode(said) + b"\n")


def _proof(text: str) -> Iterator[dict[str, Any]]:
    def found(what: str, ok: bool, said: str) -> dict[str, Any]:
        return {"check": StrategyCheck(what=what, ok=ok, text=said)}

    yield {"doing": "source"}
    path = file_of(text)
    try:
        if path is None:  # a built-in or a package's: its file is known once it is imported
            path = Path(inspect.getfile(load_strategy(text)))
        broken = broken_rules(path)
    except StrategyNotUsableError as error:
        yield found("source", False, str(error))
        return
    if broken:
        more = f" (and {len(broken) - _TOLD_MAX} more)" if len(broken) > _TOLD_MAX else ""
        yield found("source", False, "; ".join(broken[:_TOLD_MAX]) + more)
        return  # not run: what it does is not known
    yield found("source", True, "imports, names and what it changes are within the rules")

    yield {"doing": "imports"}
    try:
        strategy = load_strategy(text)
    except StrategyNotUsableError as error:
        yield found("imports", False, str(error))
        return
    yield {"strategy": strategy.name}
    yield found("imports", True, f"{strategy.__name__}, which is called {strategy.name}")
    yield {"check": parameter_check(strategy)}

    modules = modules_of(path, strategy)
    before = state_of(modules)
    yield {"doing": "books"}
    trials = Trials(strategy, str(path.absolute()))
    yield {"trials": trials.run()}
    checks = list(trials.checks())
    for check in checks:
        yield {"check": check}
    if not all(check.ok for check in checks):
        return  # what follows asks the same again
    if kept := changed(before, state_of(modules)):
        what = ", ".join(map(one_line, kept[:_TOLD_MAX]))
        yield found(another_order.STATELESS, False, f"being asked has changed {what}")
        return
    yield {"doing": another_order.WHAT}
    for check in another_order.checks(strategy, text, trials.sample):
        yield {"check": check}
    yield {"doing": bids_seen.WHAT}
    if (seen := bids_seen.bids_check(strategy, trials.sample)) is not None:
        yield {"check": seen}
    yield {"doing": "fast enough"}
    yield {"check": time_check(strategy, trials.sample)}
    yield {"doing": "memory is bounded"}
    yield {"check": memory_check(strategy, trials.sample)}


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except MemoryError as error:
        sys.exit(one_line(repr(error)))
