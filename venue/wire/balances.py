"""`GET /balance-allowance`: what the wallet holds of a token. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from venue.wire.doubt import refuse_doubtful
from venue.wire.errors import UNDECODABLE, WireError, decoded, undecodable
from venue.wire.numbers import whole


class _Balance(msgspec.Struct):
    balance: msgspec.Raw


_decode: Final = msgspec.json.Decoder(_Balance).decode


def read_balance_e6(body: bytes) -> int:
    """Shares in 1e-6. Raises WireError: an empty balance, too, is not 0, or shares that are held
    would be reported as missing."""
    try:
        balance = decoded(_decode, body).balance
        refuse_doubtful(body)
        return whole(balance)
    except UNDECODABLE as error:
        raise undecodable("balance", error) from error
    except ValueError as error:
        raise WireError(f"balance: {error}") from error
