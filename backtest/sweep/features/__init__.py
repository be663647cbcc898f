"""Vectorised twins of strategies: what they answer on many moments, for many parameters, at once.

A twin must want what its strategy's `decide` wants, to the last bit: the same operations on the
same numbers in the same order. Tests hold each against its strategy; a strategy without a twin is
swept by asking itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from backtest.sweep.features.book_imbalance import BookImbalanceTwin
from strategies.book_imbalance import BookImbalance
from strategies.interface import Strategy
from strategies.view import MarketView

Wants: TypeAlias = NDArray[np.int8]


class Twin(Protocol):
    """Of the moments that it was made of."""

    def wants(self, parameters: Any) -> Wants:
        """(moments,): 1 buy Up, -1 buy Down, 0 hold. `parameters` are among those that it was made
        for."""
        ...


TWINS: Final[dict[type[Strategy], Callable[[Sequence[MarketView], Sequence[Any]], Twin]]] = {
    BookImbalance: BookImbalanceTwin
}
"""Made of moments, and of all parameters that it will be asked about."""
