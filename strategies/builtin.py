"""The strategies that come with the project, by their names."""

from __future__ import annotations

from typing import Final

from strategies.book_imbalance import BookImbalance
from strategies.fair_value import FairValue
from strategies.interface import Strategy
from strategies.order_flow_imbalance import OrderFlowImbalance

BUILTIN: Final[dict[str, type[Strategy]]] = {
    each.name: each for each in (BookImbalance, OrderFlowImbalance, FairValue)
}
