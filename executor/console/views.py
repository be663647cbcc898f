"""The console's views, in the order of its navigation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from executor.console.configuration import ConfigurationView
from executor.console.health import HealthView
from executor.console.latency import LatencyView
from executor.console.markets import MarketsView
from executor.console.view import Shared, View

VIEWS: Final[tuple[Callable[[Shared], View], ...]] = (
    MarketsView,
    LatencyView,
    ConfigurationView,
    HealthView,
)
