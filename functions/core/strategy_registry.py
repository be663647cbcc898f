"""The strategies by the name that `STRATEGY` selects."""

from __future__ import annotations

from typing import Final

from functions.core.book_imbalance import book_imbalance_crypto
from functions.core.strategy import Strategy

STRATEGIES: Final[dict[str, Strategy]] = {"book_imbalance_crypto": book_imbalance_crypto}
