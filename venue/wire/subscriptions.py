"""What we send on the venue's two channels, as text frames.

1. The first frame of a connection says which channel it is and what is wanted. The market channel's
   names tokens; the user channel's holds the credentials and, without `markets`, means all.
2. Tokens are added to a market connection, and removed from it, while it runs.
3. The text PING keeps a connection open; the answer is the text PONG.

Source: the venue's websocket pages. It confirms none of these messages.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from venue.auth import Credentials

PING: Final = "PING"
# The venue closes market connections at an undocumented number of assets, reported as about 500.
TOKENS_MAX: Final = 200
"""How many tokens a market connection carries here."""

_encode: Final = msgspec.json.Encoder().encode


def market_channel(tokens: Collection[str]) -> str:
    """The first frame of the market channel."""
    return _text({"type": "market", "assets_ids": sorted(tokens)})


def subscribe(tokens: Collection[str]) -> str:
    """Bring these tokens, too."""
    return _text({"operation": "subscribe", "assets_ids": sorted(tokens)})


def unsubscribe(tokens: Collection[str]) -> str:
    """Bring these tokens no more."""
    return _text({"operation": "unsubscribe", "assets_ids": sorted(tokens)})


def user_channel(credentials: Credentials) -> str:
    """The first frame of the user channel: every market of this account. It holds the secret."""
    auth = {
        "apiKey": credentials.key,
        "secret": credentials.secret,
        "passphrase": credentials.passphrase,
    }
    return _text({"type": "user", "auth": auth})


def _text(message: dict[str, object]) -> str:
    return _encode(message).decode()
