"""Which way an order or a trade goes."""

from __future__ import annotations

from enum import StrEnum


class Side(StrEnum):
    """The venue's words."""

    BUY = "BUY"
    SELL = "SELL"
