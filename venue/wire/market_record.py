"""CLOB `GET /markets/{condition_id}`: whether the market is closed, and which token won. Pure.

Only what decides must be readable: the tokens where one of them is called the winner, and nothing
of what stands beside them. A market that does not say that it is closed is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from protocol.units import SIZE_SCALE
from venue.wire import scalars
from venue.wire.doubt import is_not_found, refuse_doubled
from venue.wire.errors import UNDECODABLE, WireError, decoded, undecodable
from venue.wire.numbers import MISSING
from venue.wire.scalars import truth


class MarketRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the CLOB has on record about a market."""

    closed: bool
    payouts_e6: dict[str, int] | None
    """token id -> USD a share in 1e-6; None while no token is called the winner."""
    halves: bool = False
    """It names no winner, and calls the outcome 50-50 expressly."""


class _Token(msgspec.Struct):
    token_id: msgspec.Raw = MISSING
    winner: msgspec.Raw = MISSING


class _Market(msgspec.Struct):
    condition_id: str
    closed: msgspec.Raw = MISSING
    tokens: list[msgspec.Raw] | None = None
    is_50_50_outcome: msgspec.Raw = MISSING


_NO_MARKET_LENGTH_MAX: Final = 200
"""The venue says it in a few words; a page that happens to hold them is longer."""
_decode: Final = msgspec.json.Decoder(_Market).decode
_decode_token: Final = msgspec.json.Decoder(_Token).decode


def read_market_record(body: bytes, condition_id: str, token_id: str) -> MarketRecord:
    """The record of the market in which `token_id` is one of the tokens. Raises WireError."""
    what = f"market {condition_id}"
    try:
        market = decoded(_decode, body)
        refuse_doubled(body)
    except UNDECODABLE as error:
        raise undecodable(what, error) from error
    if market.condition_id.strip().lower() != condition_id.lower():
        raise WireError(f"{what}: the answer is about {market.condition_id[:80]!r}")
    try:
        closed = bool(truth(market.closed))
        tokens = [each for raw in market.tokens or () for each in _token(raw)]
    except ValueError as error:
        raise WireError(f"{what}: {error}") from error
    winners = [each for each, won in tokens if won]
    if not winners:
        halves = False
        with suppress(ValueError):
            halves = bool(truth(market.is_50_50_outcome))
        return MarketRecord(closed=closed, payouts_e6=None, halves=halves)
    check_tokens([each for each, _ in tokens], condition_id, token_id)
    if len(winners) > 1:
        raise WireError(f"{what}: more than one winner")
    payouts_e6 = {each: SIZE_SCALE if won else 0 for each, won in tokens}
    return MarketRecord(closed=closed, payouts_e6=payouts_e6)


def _token(raw: msgspec.Raw) -> Iterator[tuple[str, bool]]:
    """Its id, and whether it has won; nothing where it is no token. Raises ValueError when a winner
    cannot be told."""
    try:
        token = _decode_token(raw)
    except UNDECODABLE:
        return
    won = bool(truth(token.winner))
    try:
        yield scalars.token_id(token.token_id), won
    except ValueError:
        if won:
            raise


def says_no_market(status: int | None, text: str) -> bool:
    """Whether an answer is the venue's own text that it has no such market: not a web server's or a
    proxy's, that there is no such path or page."""
    short = len(text) <= _NO_MARKET_LENGTH_MAX
    return status == 404 and short and is_not_found(text, "market")


def check_tokens(token_ids: Sequence[str], condition_id: str, token_id: str) -> None:
    """Raise WireError unless these are a market's different tokens with `token_id` among them."""
    different = len(set(token_ids)) == len(token_ids) >= 2 and all(token_ids)
    if not different or token_id not in token_ids:
        raise WireError(f"market {condition_id}: its tokens are not those that we know")
