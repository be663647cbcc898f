"""What the modules on the order connection share."""

from __future__ import annotations

import pytest

from tests.support.certificates import contexts
from tests.support.raw_orders import Contexts
from venue.trading import order_connection


@pytest.fixture
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting may take longer here than an order could wait for."""
    monkeypatch.setattr(order_connection, "CONNECT_TIMEOUT_S", 20.0)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return contexts(tmp_path_factory.mktemp("tls"), "localhost")
