"""How the venue writes numbers, and the checksum it puts on a book.

Everything on the wire is a string without trailing zeros ("0.5", "1213.25"), except the last
trade price, which has three decimals ("0.500", and "" before the first trade).
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Final

from protocol.units import PRICE_SCALE, SIZE_SCALE


def _trimmed(scaled: int, decimals: int) -> str:
    whole, fraction = divmod(scaled, 10**decimals)
    return f"{whole}.{fraction:0{decimals}d}".rstrip("0") if fraction else str(whole)


PRICE_TEXT: Final = tuple(_trimmed(price_e4, 4) for price_e4 in range(PRICE_SCALE + 1))
"""Price text by units of 1e-4 USD: a table, because every frame writes several."""


def size_text(size_e6: int) -> str:
    """Shares (1e-6) or USD (1e-6) as the venue writes them."""
    whole, fraction = divmod(size_e6, SIZE_SCALE)
    return f"{whole}.{fraction:06d}".rstrip("0") if fraction else str(whole)


def amount_text(amount_e6: int) -> str:
    """USD or shares as they stand in the answer to an order: with all six decimals."""
    whole, fraction = divmod(amount_e6, SIZE_SCALE)
    return f"{whole}.{fraction:06d}"


def last_trade_text(price_e4: int | None) -> str:
    """The last trade price as it stands in a book; "" when there was none."""
    if price_e4 is None:
        return ""
    return f"{Decimal(price_e4).scaleb(-4):.{3 if price_e4 % 10 == 0 else 4}f}"


def decimal_text(value: Decimal) -> str:
    """A plain decimal without exponent and trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def book_hash(
    *,
    market: str,
    asset_id: str,
    timestamp_ms: int,
    bids: str,
    asks: str,
    min_order_size: str,
    tick_size: str,
    neg_risk: bool,
    last_trade_price: str,
) -> str:
    """SHA-1 of the book's compact JSON with an empty hash, levels in wire order.

    `bids` and `asks` are JSON arrays already. Source: `generate_orderbook_summary_hash` of the
    venue's own clients, which the tests use as the oracle.
    """
    payload = (
        f'{{"market":"{market}","asset_id":"{asset_id}","timestamp":"{timestamp_ms}","hash":"",'
        f'"bids":{bids},"asks":{asks},"min_order_size":"{min_order_size}",'
        f'"tick_size":"{tick_size}","neg_risk":{"true" if neg_risk else "false"},'
        f'"last_trade_price":"{last_trade_price}"}}'
    )
    return hashlib.sha1(payload.encode(), usedforsecurity=False).hexdigest()
