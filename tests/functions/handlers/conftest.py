from __future__ import annotations

import pytest

from functions.handlers import apply_evidence, evaluate, execute, reconcile, redeem, settle
from tests.support.trading_builders import MADE_AT_MS


class Clock:
    """Stands still until it is told otherwise; the handlers' `time`."""

    def __init__(self) -> None:
        self.now_ms = MADE_AT_MS

    def time_ns(self) -> int:
        return self.now_ms * 1_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of all handlers, beginning when `a_claim` was made."""
    still = Clock()
    for handler in (evaluate, execute, reconcile, apply_evidence, redeem, settle):
        monkeypatch.setattr(handler, "time", still)
    return still
