"""A market as listed, against the same market as the CLOB knows it. Pure.

The listing says which token pays for which outcome, and orders are made by that. If it were wrong,
every order would buy the opposite. The CLOB says it independently, token by token.

1. Tokens, their outcomes and the kind of contract must agree, or the market is not traded.
2. Of tick size, minimum size and fee, the stricter one counts: the two sources are asked at
   different times, and what keeps to the stricter one keeps to both. (Ticks divide each other, but
   for 0.0025 and 0.001; a price off the venue's grid is refused before anything is claimed.)
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from protocol.fee import FeeSchedule
from protocol.market import MarketInfo, Outcome
from venue.wire.clob_market import ClobMarket


def difference(listed: MarketInfo, clob: ClobMarket) -> str | None:
    """What listing and CLOB contradict each other about, in one sentence; None when they agree.

    Names of outcomes are compared without regard to case and white space.
    """
    if len(clob.outcomes) != len(listed.outcomes):
        return f"the CLOB names {len(clob.outcomes)} tokens, the listing {len(listed.outcomes)}"
    ours, theirs = _name_by_token(listed.outcomes), _name_by_token(clob.outcomes)
    if ours.keys() != theirs.keys():
        return "the CLOB names other tokens than the listing"
    if len(set(ours.values())) != len(listed.outcomes):
        return f"outcomes that cannot be told apart: {', '.join(sorted(ours.values()))}"
    for token_id, name in ours.items():
        if theirs[token_id] != name:
            return (
                f"the token that ends in {token_id[-6:]} is {name!r} in the listing, "
                f"{theirs[token_id]!r} at the CLOB"
            )
    if listed.neg_risk != clob.neg_risk:
        return f"neg_risk is {listed.neg_risk} in the listing, {clob.neg_risk} at the CLOB"
    return None


def stricter(listed: MarketInfo, clob: ClobMarket) -> MarketInfo:
    """The listing with the coarser tick, the larger minimum and the higher fee of the two."""
    return msgspec.structs.replace(
        listed,
        tick_size_e4=max(listed.tick_size_e4, clob.tick_size_e4 or 0),
        min_order_size_e6=max(listed.min_order_size_e6, clob.min_order_size_e6 or 0),
        fee=_higher(listed.fee, clob.fee or listed.fee),
    )


def _name_by_token(outcomes: Iterable[Outcome]) -> dict[str, str]:
    return {each.token_id: " ".join(each.name.split()).casefold() for each in outcomes}


def _higher(one: FeeSchedule, other: FeeSchedule) -> FeeSchedule:
    """What is no lower than either at any price: p(1-p) is less than 1, so the smaller exponent
    costs more. Of two that differ in both neither is the higher one everywhere."""
    if not (one.rate and other.rate):
        return one if one.rate else other
    return FeeSchedule(rate=max(one.rate, other.rate), exponent=min(one.exponent, other.exponent))
