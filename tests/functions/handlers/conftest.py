from __future__ import annotations

import pytest

from functions.handlers import evaluate, execute
from tests.support import fake_ports
from tests.support.trading_builders import MADE_AT_MS


class Clock:
    """Stands still until it is told otherwise; the handlers' `time`."""

    def __init__(self) -> None:
        self.now_ms = MADE_AT_MS

    def time_ns(self) -> int:
        return self.now_ms * 1_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of all handlers and of the fakes, beginning when `a_claim` was made."""
    still = Clock()
    for module in (evaluate, execute, fake_ports):
        monkeypatch.setattr(module, "time", still)
    return still
