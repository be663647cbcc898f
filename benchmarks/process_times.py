"""What processes have had of the processors, and how long they waited for one, as Linux counts it.

CPU time of a process is in `/proc/<pid>/stat`, in clock ticks, ended threads included. Time on a
run queue (ready to run, and no processor free) is in `/proc/<pid>/task/<tid>/schedstat`, by thread,
in nanoseconds; what an ended thread has waited is gone with it. Where there is no `/proc`, nothing
is measured.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICKS_A_S: Final = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class ProcessTimes:
    """Since the process began, or between two moments."""

    cpu_s: float
    waited_s: float

    def __sub__(self, before: ProcessTimes) -> ProcessTimes:
        return ProcessTimes(self.cpu_s - before.cpu_s, self.waited_s - before.waited_s)

    def __add__(self, other: ProcessTimes) -> ProcessTimes:
        return ProcessTimes(self.cpu_s + other.cpu_s, self.waited_s + other.waited_s)


NOTHING: Final = ProcessTimes(0.0, 0.0)


def cpu_s_of(stat: str, ticks_a_s: int = _TICKS_A_S) -> float:
    """User and system time in the text of `/proc/<pid>/stat`.

    The name of the program stands in brackets and may hold spaces and brackets itself. Raises
    ValueError, IndexError for another text.
    """
    fields = stat[stat.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / ticks_a_s


def waited_s_of(schedstat: str) -> float:
    """Time on a run queue in the text of a `schedstat`. Raises ValueError, IndexError likewise."""
    return int(schedstat.split()[1]) / 1e9


def times_of(pid: int) -> ProcessTimes:
    """Of one process, until now; NOTHING when it has ended or there is no `/proc`."""
    process = _PROC / str(pid)
    try:
        cpu_s = cpu_s_of((process / "stat").read_text())
        waited_s = sum(map(_waited_s, (process / "task").iterdir()))
    except OSError:
        return NOTHING
    return ProcessTimes(cpu_s, waited_s)


def _waited_s(thread: Path) -> float:
    try:
        return waited_s_of((thread / "schedstat").read_text())
    except OSError:  # it has ended, or the kernel does not count this
        return 0.0


def times_by_name(pids: Mapping[str, Iterable[int]]) -> dict[str, ProcessTimes]:
    """Sums over the processes of each name, until now."""
    return {name: sum(map(times_of, processes), start=NOTHING) for name, processes in pids.items()}
