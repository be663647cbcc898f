"""What a market BUY would get from a book: the trades that paper trading records. Pure.

Paper orders change nothing at the venue, so the shares that one has taken are still shown
afterwards. `Taken` remembers them: they are taken once, until the venue shows another size there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from protocol.book import Level
from protocol.fill import Fill, TradeStatus
from protocol.units import PRICE_SCALE, cost_e6
from venue.wire.order_answer import Accepted

Taken: TypeAlias = Mapping[int, tuple[int, int]]
"""Of one token: price -> (size that the venue showed there, how much of it was taken)."""


def take_asks(asks: Sequence[Level], spend_e6: int, max_price_e4: int) -> tuple[Level, ...]:
    """(price, shares) taken of each ask, best first, up to `max_price_e4` and `spend_e6` (FAK).

    Does not model: the queue, other takers, or what our own order would do to the book.
    """
    taken: list[Level] = []
    left_e6 = spend_e6
    for price_e4, level_size_e6 in asks:
        size_e6 = min(level_size_e6, left_e6 * PRICE_SCALE // price_e4)
        if price_e4 > max_price_e4 or size_e6 == 0:
            break
        left_e6 -= cost_e6(price_e4, size_e6)
        taken.append((price_e4, size_e6))
    return tuple(taken)


def left_of(asks: Sequence[Level], taken: Taken) -> tuple[Level, ...]:
    """The asks less what was taken of those that the venue has not changed since."""
    left = ((price_e4, size_e6 - _gone_e6(price_e4, size_e6, taken)) for price_e4, size_e6 in asks)
    return tuple((price_e4, size_e6) for price_e4, size_e6 in left if size_e6 > 0)


def taken_with(taken: Taken, asks: Sequence[Level], bought: Sequence[Level]) -> Taken:
    """What is taken of `asks`, the newest there are, after `bought` was, too."""
    now = dict(bought)
    gone = {
        price_e4: (size_e6, _gone_e6(price_e4, size_e6, taken) + now.get(price_e4, 0))
        for price_e4, size_e6 in asks
    }
    return {price_e4: each for price_e4, each in gone.items() if each[1] > 0}


def accepted_of(
    bought: Sequence[Level],
    *,
    order_id: str,
    condition_id: str,
    token_id: str,
    spend_e6: int,
    at_ms: int,
) -> Accepted:
    """The venue's answer to an order of `spend_e6` that got `bought`, at `at_ms` (epoch)."""
    spent_e6 = sum(cost_e6(price_e4, size_e6) for price_e4, size_e6 in bought)
    return Accepted(
        # Whole cents are sent, but a share costs a fraction of one: a rest below that is full.
        status="matched" if spend_e6 - spent_e6 < 10_000 else "partly_matched",
        spend_e6=spent_e6,
        size_e6=sum(size_e6 for _, size_e6 in bought),
        fills=tuple(
            Fill(
                trade_id=f"{order_id}-{number}",
                order_id=order_id,
                condition_id=condition_id,
                token_id=token_id,
                status=TradeStatus.CONFIRMED,
                price_e4=price_e4,
                size_e6=size_e6,
                matched_at_ms=at_ms,
            )
            for number, (price_e4, size_e6) in enumerate(bought)
        ),
    )


def _gone_e6(price_e4: int, size_e6: int, taken: Taken) -> int:
    shown_e6, gone_e6 = taken.get(price_e4, (0, 0))
    return gone_e6 if shown_e6 == size_e6 else 0
