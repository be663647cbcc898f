"""Where the venue is asked for what: paths of its HTTP APIs. Pure.

The CLOB's `/auth/api-keys`, `/data/*` and `/balance-allowance*` want API credentials
(`venue.auth`). Orders are posted by the official client (`venue.trading`), which knows its own
paths.
"""

from __future__ import annotations

from typing import Final

# The CLOB.
BOOK: Final = "/book"
"""`token_id`; the reader is `market_channel.decode_book`."""
API_KEYS: Final = "/auth/api-keys"
"""The signer's; the reader is `venue.credentials`."""
TRADES: Final = "/data/trades"
"""The account's, by `market` or `after` (epoch s), page by page: `trades.read_trades_page`."""
BALANCE: Final = "/balance-allowance"
"""`asset_type`, `signature_type`, `token_id`; the reader is `balances.read_balance_e6`."""
BALANCE_REFRESH: Final = f"{BALANCE}/update"
"""The same question. It makes the venue look at the chain, which it otherwise remembers."""

# Gamma.
EVENTS: Final = "/events"
"""`slug`; the reader is `listing`."""


def order(order_id: str) -> str:
    """Of the CLOB; the reader is `orders.read_order`."""
    return f"/data/order/{order_id}"


def market(condition_id: str) -> str:
    """Of the CLOB; the reader is `market_record.read_market_record`."""
    return f"/markets/{condition_id}"


def clob_market(condition_id: str) -> str:
    """Of the CLOB; the reader is `clob_market.read_clob_market`."""
    return f"/clob-markets/{condition_id}"
