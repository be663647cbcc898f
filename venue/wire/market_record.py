"""CLOB `GET /markets/{condition_id}`: whether the market is closed, and which token won. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from protocol.units import SIZE_SCALE
from venue.wire.errors import UNDECODABLE, WireError, decoded, undecodable


class MarketRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the CLOB has on record about a market."""

    closed: bool
    payouts_e6: dict[str, int] | None
    """token id -> USD a share in 1e-6; None while no token is called the winner."""
    halves: bool = False
    """It names no winner, and calls the outcome 50-50 expressly."""


class _Token(msgspec.Struct):
    token_id: str
    winner: object = None


class _Market(msgspec.Struct):
    condition_id: str
    closed: bool
    tokens: list[_Token]
    is_50_50_outcome: object = None


_NO_MARKET_LENGTH_MAX: Final = 200
"""The venue says it in a few words; a page that happens to hold them is longer."""
_decode: Final = msgspec.json.Decoder(_Market).decode


def read_market_record(body: bytes, condition_id: str, token_id: str) -> MarketRecord:
    """The record of the market in which `token_id` is one of the tokens. Raises WireError."""
    what = f"market {condition_id}"
    try:
        market = decoded(_decode, body)
    except UNDECODABLE as error:
        raise undecodable(what, error) from error
    if market.condition_id.lower() != condition_id.lower():
        raise WireError(f"{what}: the answer is about {market.condition_id[:80]!r}")
    if any(token.winner and token.winner is not True for token in market.tokens):
        raise WireError(f"{what}: unreadable winner")
    check_tokens([token.token_id for token in market.tokens], condition_id, token_id)
    winners = [token.token_id for token in market.tokens if token.winner is True]
    if len(winners) > 1:
        raise WireError(f"{what}: more than one winner")
    if not winners:
        halves = market.is_50_50_outcome is True
        return MarketRecord(closed=market.closed, payouts_e6=None, halves=halves)
    payouts_e6 = {
        token.token_id: SIZE_SCALE if token.token_id in winners else 0 for token in market.tokens
    }
    return MarketRecord(closed=market.closed, payouts_e6=payouts_e6)


def says_no_market(status: int | None, text: str) -> bool:
    """Whether an answer is the venue's own text that it has no such market: not a web server's or a
    proxy's, that there is no such path or page."""
    said = text.lower()
    if status != 404 or len(said) > _NO_MARKET_LENGTH_MAX or "/" in said:
        return False
    return "market" in said and "not found" in said


def check_tokens(token_ids: Sequence[str], condition_id: str, token_id: str) -> None:
    """Raise WireError unless these are a market's different tokens with `token_id` among them."""
    different = len(set(token_ids)) == len(token_ids) >= 2 and all(token_ids)
    if not different or token_id not in token_ids:
        raise WireError(f"market {condition_id}: its tokens are not those that we know")
