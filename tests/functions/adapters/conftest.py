"""What all tests of the adapters share."""

from __future__ import annotations

import functools

import httpx
import pytest

from tests.support.venue_records import desk, live, venue

__all__ = ["desk", "live", "venue"]

_read_once = functools.cache(httpx.create_ssl_context)


@pytest.fixture(autouse=True)
def _certificates_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # The official client opens a dozen connection pools, each of which reads all certificates:
    # that is a second of CPU for each log-in.
    monkeypatch.setattr("httpx._transports.default.create_ssl_context", _read_once)
