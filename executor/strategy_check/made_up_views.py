"""Books by chance, of every shape that the gate may let through: a seed gives the same ones again.

One-sided and empty books, crossed ones, prices at both ends, sizes from a millionth of a share to
the largest that a message may hold, pasts of any length; Down mirrors Up, or does not.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from protocol.book import PUBLISHED_LEVELS_MAX, Level
from protocol.units import AMOUNT_E6_MAX, PRICE_SCALE
from strategies.made_up import START_MS, WINDOW_MS, UpBook, made_up_market, made_up_view
from strategies.memory import OLDER_APART_MS, ROWS_MAX
from strategies.view import MarketView

_TICKS_E4: Final = (100, 100, 10, 1)
_PASTS: Final = (0, 0, 1, 2, 5, 20, 50, ROWS_MAX + 10)
_WAY_MAX_MS: Final = 2_000


def made_up_views(seed: int, count: int) -> Iterator[MarketView]:
    """So many views; those of one seed are always the same."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    for _ in range(count):
        yield _view(chance)


def _view(chance: random.Random) -> MarketView:
    tick_e4 = chance.choice(_TICKS_E4)
    up_bids, up_asks = _sides(chance, tick_e4)
    mirrored = chance.random() < 0.8
    down_bids, down_asks = (None, None) if mirrored else _sides(chance, tick_e4)
    return made_up_view(
        up_bids,
        up_asks,
        down_bids=down_bids,
        down_asks=down_asks,
        before=_past(chance, tick_e4, (up_bids, up_asks)),
        now_ms=START_MS + chance.choice((0, WINDOW_MS, chance.randrange(WINDOW_MS))),
        market=made_up_market(tick_e4),
    )


def _past(
    chance: random.Random, tick_e4: int, last: tuple[tuple[Level, ...], tuple[Level, ...]]
) -> list[UpBook]:
    """Books that came before: quiet ones, moving ones, and some that are quite different."""
    count, ago_ms = chance.choice(_PASTS), 0
    apart_ms = chance.choice((0, OLDER_APART_MS))  # a busy market's, or a quiet one's
    past: list[UpBook] = []
    bids, asks = last
    for _ in range(count):
        ago_ms += apart_ms + chance.choice((0, 1, 250, chance.randrange(_WAY_MAX_MS)))
        kind = chance.random()
        if kind < 0.05:
            bids, asks = _sides(chance, tick_e4)
        elif kind < 0.5:
            bids = tuple((price, _size_e6(chance)) for price, _ in bids)
        past.append((ago_ms, bids, asks))
    past.reverse()
    return past


def _sides(chance: random.Random, tick_e4: int) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    last = PRICE_SCALE // tick_e4 - 1
    middle = chance.choice((1, last, chance.randint(1, last), chance.randint(1, last)))
    gap = chance.choice((1, 1, 2, 5, -1, 0))  # crossed now and then
    bids = _levels(chance, tick_e4, range(middle, 0, -1))
    asks = _levels(chance, tick_e4, range(max(1, middle + gap), last + 1))
    return bids, asks


def _levels(chance: random.Random, tick_e4: int, ticks: range) -> tuple[Level, ...]:
    wanted = chance.choice((0, 1, 2, 5, 10, PUBLISHED_LEVELS_MAX))
    step = chance.choice((1, 1, 3))
    return tuple((tick * tick_e4, _size_e6(chance)) for tick in ticks[::step][:wanted])


def _size_e6(chance: random.Random) -> int:
    kind = chance.random()
    if kind < 0.02:
        return AMOUNT_E6_MAX
    return 1 if kind < 0.05 else int(10 ** chance.uniform(3, 10))
