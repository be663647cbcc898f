"""CLOB `GET /clob-markets/{condition_id}`: the facts that an order is built from. Pure.

The venue's own word on which token pays for which outcome. Source: the venue's API reference, and
`polymarket._internal.actions.orders.market_data`, which reads the same answer before it signs.

1. Tokens with their outcomes are needed, and whatever of them is unreadable is an error. `nr` that
   is missing means false, as the official client reads it.
2. `mts`, `mos` and `fd` may be missing: then the CLOB has nothing to say about them.
3. A delay counts as named only when it is positive: the venue leaves `itode` out when it is false.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import msgspec

from protocol.fee import FeeSchedule
from protocol.market import Outcome
from protocol.units import PRICE_SCALE, to_price_e4, to_size_e6
from venue.wire import numbers
from venue.wire.doubt import refuse_doubled
from venue.wire.errors import UNDECODABLE, WireError, decoded, undecodable
from venue.wire.numbers import MISSING
from venue.wire.scalars import token_id, truth

TAKER_DELAY_MS: Final = 250
"""How long taker orders are held where `itode` is true (the venue's API reference)."""


class ClobMarket(msgspec.Struct, frozen=True, kw_only=True):
    """A market as the CLOB knows it."""

    outcomes: tuple[Outcome, ...]
    """Usually two; however many there are."""
    neg_risk: bool
    tick_size_e4: int | None
    min_order_size_e6: int | None
    fee: FeeSchedule | None
    taker_delay_ms: int | None
    """How long a taker order is held before it is matched; None where no delay is named."""


class _Token(msgspec.Struct):
    t: msgspec.Raw
    o: str


class _Fee(msgspec.Struct):
    r: msgspec.Raw
    e: msgspec.Raw


class _Market(msgspec.Struct):
    t: list[_Token]
    c: object = None
    nr: msgspec.Raw = MISSING
    mts: msgspec.Raw = MISSING
    mos: msgspec.Raw = MISSING
    fd: msgspec.Raw = MISSING
    itode: msgspec.Raw = MISSING
    sd: msgspec.Raw = MISSING


_decode: Final = msgspec.json.Decoder(_Market).decode
_decode_fee: Final = msgspec.json.Decoder(_Fee).decode


def read_clob_market(body: bytes, condition_id: str) -> ClobMarket:
    """The market that was asked for. Raises WireError."""
    what = f"clob-market {condition_id}"
    try:
        market = decoded(_decode, body)
        refuse_doubled(body)
    except UNDECODABLE as error:
        raise undecodable(what, error) from error
    if isinstance(market.c, str) and market.c and market.c.lower() != condition_id.lower():
        raise WireError(f"{what}: the answer is about {market.c[:80]!r}")
    try:
        return ClobMarket(
            outcomes=tuple(Outcome(name=token.o, token_id=token_id(token.t)) for token in market.t),
            neg_risk=bool(truth(market.nr)),
            tick_size_e4=_tick_size_e4(market.mts),
            min_order_size_e6=_min_order_size_e6(market.mos),
            fee=_fee(market.fd),
            taker_delay_ms=_taker_delay_ms(market.itode, market.sd),
        )
    except (ValueError, ArithmeticError, *UNDECODABLE) as error:
        raise WireError(f"{what}: {error}") from error


def _tick_size_e4(raw: msgspec.Raw) -> int | None:
    if numbers.number_text(raw) is None:
        return None
    tick_size_e4 = to_price_e4(numbers.decimal(raw))
    if not 0 < tick_size_e4 < PRICE_SCALE:
        raise ValueError(f"mts: not a tick size: {tick_size_e4}e-4")
    return tick_size_e4


def _min_order_size_e6(raw: msgspec.Raw) -> int | None:
    return None if numbers.number_text(raw) is None else to_size_e6(numbers.decimal(raw))


def _fee(raw: msgspec.Raw) -> FeeSchedule | None:
    """None also where it cannot be read: then the listing's counts alone."""
    try:
        fee = _decode_fee(raw)
        rate, exponent = numbers.decimal(fee.r), numbers.whole(fee.e)
    except (ValueError, *UNDECODABLE):
        return None
    return FeeSchedule(rate=rate, exponent=exponent) if rate <= 1 and exponent <= 10 else None


def _taker_delay_ms(itode: msgspec.Raw, sd: msgspec.Raw) -> int | None:
    """The longer of the two; one that cannot be read is not named: no order depends on it."""
    named_ms = [0]
    with suppress(ValueError):
        named_ms.append(TAKER_DELAY_MS if truth(itode) else 0)
    with suppress(ValueError):
        named_ms.append(0 if numbers.number_text(sd) is None else int(numbers.decimal(sd) * 1000))
    return max(named_ms) or None
