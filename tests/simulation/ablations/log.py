"""Whether a line of the log can be written changes nothing."""

from __future__ import annotations

import sys
from typing import Final

from runtime.output import Output
from tests.simulation.ablations.ablation import Ablation, replaced
from tests.simulation.ablations.provocations import full_disk


def _raising(self: Output, line: str) -> None:
    self._write(sys.stderr, line)


LOG: Final = (
    Ablation(
        "a log that cannot be written stops nothing",
        replaced(Output, "write", _raising),
        "unhandled",
        full_disk,
    ),
)
