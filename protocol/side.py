"""Which way an order or a trade goes."""

from __future__ import annotations

from enum import StrEnum


class Side(StrEnum):
    """As the venue spells it."""

    BUY = "BUY"
    SELL = "SELL"
