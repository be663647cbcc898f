"""What all tests of the adapters share."""

from __future__ import annotations

import functools

import httpx
import pytest


@pytest.fixture(autouse=True)
def _certificates_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # The official client opens a dozen connection pools, each of which reads all certificates:
    # that is a second of CPU for each log-in.
    read = httpx._transports.default.create_ssl_context
    monkeypatch.setattr(httpx._transports.default, "create_ssl_context", _once(read))


@functools.cache
def _once(read: object) -> object:
    return functools.cache(read)  # type: ignore[arg-type]
