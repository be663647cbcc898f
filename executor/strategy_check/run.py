"""Prove a strategy in a process of its own, bounded in time, and gather what was found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from executor.progress import progress_bar
from executor.strategy_check.report import StrategyCheck, StrategyReport, StrategyTrials

TIME_MAX_S: Final = 180.0
"""On the wall: a busy machine makes nothing fail that is done within its CPU time."""
CPU_MAX_S: Final = 60
_TELL_EVERY_S: Final = 0.2


def prove(
    text: str, *, time_max_s: float = TIME_MAX_S, cpu_max_s: int = CPU_MAX_S
) -> StrategyReport:
    """Everything that was found out about the strategy within the time."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found"
        ended = _run(text, out, time_max_s, cpu_max_s)
        lines = out.read_bytes().splitlines() if out.exists() else []
    found = _Found()
    for line in lines:
        try:
            found.take(msgspec.json.decode(line))
        except msgspec.MsgspecError:
            break  # killed in the middle of a line
    if not found.ended:
        found.checks.append(StrategyCheck(what=found.doing, ok=False, text=ended))
    return StrategyReport(
        file=text,
        strategy=found.strategy,
        ok=all(check.ok for check in found.checks),
        checks=tuple(found.checks),
        trials=found.trials,
    )


def _run(text: str, out: Path, time_max_s: float, cpu_max_s: int) -> str:
    """How it ended, in words."""
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "executor.strategy_check", text, str(out), str(cpu_max_s)],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # so that what it starts ends with it
    )
    try:
        code = _waited_for(process, time_max_s)
    except subprocess.TimeoutExpired:
        return f"did not come to its end within {time_max_s:g} s: a loop without end?"
    finally:
        if process.poll() is None:  # not waited for yet, so the group is still its own
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code == -signal.SIGXCPU:
        return f"did not come to its end within {cpu_max_s} s of CPU time: a loop without end?"
    return f"its process ended with {code} before it was done"


def _waited_for(process: subprocess.Popen[bytes], time_max_s: float) -> int:
    """Its exit code. Raises subprocess.TimeoutExpired."""
    until_s = time.monotonic() + time_max_s
    with progress_bar() as tell:
        while True:
            try:
                return process.wait(_TELL_EVERY_S)
            except subprocess.TimeoutExpired:
                if time.monotonic() >= until_s:
                    raise
            tell(None, "the strategy is tried on books")


class _Found:
    """What the lines say, up to where they end."""

    def __init__(self) -> None:
        self.doing = "start"
        self.strategy = ""
        self.checks: list[StrategyCheck] = []
        self.trials: StrategyTrials | None = None
        self.ended = False

    def take(self, said: dict[str, Any]) -> None:
        """One line. Raises msgspec.ValidationError."""
        if "check" in said:
            self.checks.append(msgspec.convert(said["check"], StrategyCheck))
        elif "trials" in said:
            self.trials = msgspec.convert(said["trials"], StrategyTrials)
        self.doing = said.get("doing", self.doing)
        self.strategy = said.get("strategy", self.strategy)
        self.ended = self.ended or "ended" in said
