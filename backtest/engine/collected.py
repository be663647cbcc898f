"""The signals of all markets as one table, in order of time."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from backtest.engine.observations import DELAYS_S, HORIZONS_S, SIZES_USD, SignalRows

_WIDTHS: Final = {
    "bid_after_e4": len(HORIZONS_S),
    "ask_after_e4": len(HORIZONS_S),
    "bid_held_e4": 2 * len(HORIZONS_S),
    "ask_held_e4": 2 * len(HORIZONS_S),
    "ask_waited_e4": len(DELAYS_S),
    "ask_waited_next_e4": len(DELAYS_S),
    "arrival_ask_e4": 2,
    "size_price_e4": len(SIZES_USD),
}
"""Columns that have several values a signal."""
_KINDS: Final[dict[str, type[np.generic]]] = {
    "at_ms": np.int64,
    "market": np.int32,
    "is_up": np.bool_,
    "episode": np.int32,
    "tick_e4": np.int32,
    "strength": np.float64,
    "edge_ticks": np.float64,
    "to_close_ms": np.int64,
    "bid_e4": np.int32,
    "ask_e4": np.int32,
    "max_price_e4": np.int32,
    "bid_after_e4": np.int32,
    "ask_after_e4": np.int32,
    "bid_held_e4": np.int32,
    "ask_held_e4": np.int32,
    "ask_waited_e4": np.int32,
    "ask_waited_next_e4": np.int32,
    "arrival_ask_e4": np.int32,
    "size_price_e4": np.float64,
}


class SignalColumns:
    """`add` each market when it is over; bytes from then on, because there may be millions."""

    def __init__(self) -> None:
        self._bytes = {name: bytearray() for name in _KINDS}

    def add(self, rows: SignalRows) -> None:
        """The next market's; markets in the order in which they end."""
        for name, column in self._bytes.items():
            column.extend(getattr(rows, name).tobytes())

    def rows(self) -> SignalRows:
        """All of them, once: what they were made of is gone then."""
        # Stable: signals of the same millisecond stay in the order of their markets.
        order = np.argsort(self._column("at_ms"), kind="stable")
        # One column after the other, so that never more than one is there twice.
        whole: dict[str, NDArray[Any]] = {}
        for name in _KINDS:
            whole[name] = self._column(name)[order]
            del self._bytes[name]
        return SignalRows(**whole)

    def _column(self, name: str) -> NDArray[Any]:
        column: NDArray[Any] = np.frombuffer(self._bytes[name], dtype=_KINDS[name])
        return column.reshape((-1, _WIDTHS[name])) if name in _WIDTHS else column
