"""Fixtures that more than one test package uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import NatsServer


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A fresh nats-server with JetStream for this test alone; `nats_server.url` is its address."""
    with NatsServer(tmp_path / "jetstream") as server:
        yield server
