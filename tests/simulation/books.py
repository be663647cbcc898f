"""Markets and books as the simulated feeders know them, whose turn it is to publish, and a witness.

The lease stands for `feeder.books.lease_keeper`, which is tested on a real nats-server: whoever
takes it over has a higher epoch. Its last owner does not know at once, and publishes on: that is
what workers have to notice by the epoch. Real owners give up before others take over; these do not.
"""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Final

import msgspec

from feeder.core.market.market_session import LINES, MarketSession
from feeder.core.market.session_table import SessionTable
from functions.core.fencing import BELIEF_MS
from protocol.fee import FeeSchedule
from protocol.market import DOWN, UP, MarketInfo, Outcome
from protocol.series import Series
from protocol.snapshot import BookSnapshot
from tests.simulation.loop import Simulation
from tests.support.market_channel_frames import book, frame
from venue.wire.market_channel import BookEvent, decode_frame

FEE: Final = FeeSchedule(rate=Decimal("0.07"), exponent=1)


def window(series: Series, start_s: int) -> MarketInfo:
    """The market of one window."""
    name = f"{series.name}-{start_s}"
    return MarketInfo(
        condition_id=f"0x{name}",
        slug=name,
        series=series.name,
        outcomes=(
            Outcome(name=UP, token_id=f"{name}-up"),
            Outcome(name=DOWN, token_id=f"{name}-down"),
        ),
        start_ms=start_s * 1000,
        end_ms=(start_s + series.window_s) * 1000,
        tick_size_e4=100,
        min_order_size_e6=5_000_000,
        fee=FEE,
        neg_risk=False,
        accepting=True,
    )


def misnamed_between(info: MarketInfo, rng: random.Random) -> tuple[float, float]:
    """When the listing of this market is wrong, in epoch ms: from its start on, or later."""
    life_ms = info.end_ms - info.start_ms
    begin_ms = info.start_ms + rng.choice([0.0, rng.uniform(0, life_ms)])
    return begin_ms, begin_ms + rng.uniform(0, life_ms)


def with_swapped_outcomes(info: MarketInfo) -> MarketInfo:
    """The listing with each outcome at the other one's token."""
    one, other = info.outcomes
    outcomes = (
        Outcome(name=one.name, token_id=other.token_id),
        Outcome(name=other.name, token_id=one.token_id),
    )
    return msgspec.structs.replace(info, outcomes=outcomes)


def follow(table: SessionTable, info: MarketInfo, now_ms: int) -> None:
    """Follow a market, on connections that stand on every line."""
    if info.condition_id not in table:
        table.follow(info, now_ms)
        for line in range(LINES):
            table.connected(line, {outcome.token_id for outcome in info.outcomes}, now_ms)


def change_books(
    table: SessionTable, info: MarketInfo, rng: random.Random, now_ns: int, more: int = 0
) -> MarketSession | None:
    """Give a market new books, which often signal, with so many shares `more` than drawn; the
    market if that is to be published."""
    bid = rng.randint(32, 66)
    heavy, light = (
        str(int(shares) + more)
        for shares in rng.choice([("400", "50"), ("50", "400"), ("100", "100")])
    )
    events = []
    for token, bid_cents, sizes in (
        (info.token_of(UP), bid, (heavy, light)),
        (info.token_of(DOWN), 99 - bid, (light, heavy)),
    ):
        bids = [(f"0.{bid_cents:02d}", sizes[0])]
        asks = [(f"0.{bid_cents + 1:02d}", sizes[1])]
        payload = frame(
            # No hash: what a book is worth is shown elsewhere, and half of the time goes into it.
            book(
                token, bids, asks, market=info.condition_id, timestamp=now_ns // 1_000_000, hash=""
            )
        )
        [event] = decode_frame(payload)
        assert isinstance(event, BookEvent)
        events.append(event)
    applied = [table.apply(line, event, now_ns) for line in range(LINES) for event in events]
    return next((each.session for each in applied if each.offer), None)


class Lease:
    """Of all series: the epoch of whoever took it last."""

    def __init__(self) -> None:
        self.epoch = 0
        self.taken_at_ms = 0

    def take(self, now_ms: int) -> int:
        """Take it over."""
        self.epoch = max(now_ms, self.epoch + 1)
        self.taken_at_ms = now_ms
        return self.epoch


class Witness:
    """Sees what each worker decodes, and knows what that says about older books."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._highest: dict[tuple[int, str], tuple[int, int]] = {}
        """(process, market) -> (highest epoch, when it was last seen in ms)."""

    def saw(self, snapshot: BookSnapshot) -> BookSnapshot:
        """A worker has decoded it."""
        key = (self._sim.current.number, snapshot.market.condition_id)
        if snapshot.epoch >= self._highest.get(key, (0, 0))[0]:
            self._highest[key] = snapshot.epoch, self._sim.now_ms
        return snapshot

    def superseded(self, snapshot: BookSnapshot) -> bool:
        """Whether the process whose code runs now has seen a later feeder's book of this market,
        so recently that it must not believe that the later feeder is gone."""
        key = (self._sim.current.number, snapshot.market.condition_id)
        epoch, at_ms = self._highest.get(key, (0, 0))
        return epoch > snapshot.epoch and self._sim.now_ms - at_ms < BELIEF_MS
