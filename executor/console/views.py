"""The console's views, in the order of its navigation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from executor.console.configuration import ConfigurationView
from executor.console.decisions import DecisionsView
from executor.console.health import HealthView
from executor.console.latency import LatencyView
from executor.console.markets import MarketsView
from executor.console.positions import PositionsView
from executor.console.view import Shared, View

VIEWS: Final[tuple[Callable[[Shared], View], ...]] = (
    MarketsView,
    DecisionsView,
    PositionsView,
    LatencyView,
    ConfigurationView,
    HealthView,
)
