"""The console's views, in the order of its navigation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from executor.console.health import HealthView
from executor.console.view import Shared, View

VIEWS: Final[tuple[Callable[[Shared], View], ...]] = (HealthView,)
