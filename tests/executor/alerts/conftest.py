"""Libraries are as loud as they were, after each test."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

_NAMES = ("", "asyncio", "nats", "metrics_server", "apprise")


@pytest.fixture(autouse=True)
def _loudness() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _NAMES]
    before = [(each.level, each.propagate, list(each.handlers)) for each in loggers]
    yield
    for each, (level, propagate, handlers) in zip(loggers, before, strict=True):
        each.setLevel(level)
        each.propagate, each.handlers = propagate, handlers
