from __future__ import annotations

import pytest

from functions.handlers import evaluate
from runtime import instant
from tests.support import fake_ports
from tests.support.trading_builders import MADE_AT_MS


class Clock:
    """Stands still until it is told otherwise; the handlers' `time`."""

    def __init__(self) -> None:
        self.now_ms = MADE_AT_MS
        self.set_back_ms = 0
        """By how much somebody has set the wall clock back since."""

    def time_ns(self) -> int:
        return (self.now_ms - self.set_back_ms) * 1_000_000

    def monotonic_ns(self) -> int:
        return self.now_ms * 1_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of all handlers and of the fakes, beginning when `a_claim` was made."""
    still = Clock()
    for module in (evaluate, fake_ports, instant):
        monkeypatch.setattr(module, "time", still)
    return still
