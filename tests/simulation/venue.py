"""A simulated venue, and its user channel; `venue_ports` are the ways to it.

It keeps the truth (`orders`, `arrivals`) that the checks trust. What can go wrong on the way to it
and back, and inside, is drawn per call from `VenueFaults`.

Modelled: requests and answers that get lost, slow ones, orders that land after their poster has
given up (within `late_s`, and rarely after everybody has, `very_late_s`), delayed matches that come
or never come, partial fills, no match, several trades an order, trades that fail after a while,
reads that lag or fail, the engine's restart, rate limits, the phantom balance lock, resolutions
that take time or never come, splits, redemption, also by the venue itself or in vain, a user
channel that loses, repeats and reorders.

Not modelled: signatures, HTTP, prices that move against an order, other traders, resting orders.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Final

from functions.ports import PreparedOrder
from protocol.fill import Fill, TradeStatus
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from protocol.units import PRICE_SCALE, cost_e6
from tests.simulation.loop import Simulation
from venue.wire.order_answer import Accepted, Answer, Rejected, RejectReason, Unknown

CONFIRM_S: Final = (1.0, 6.0)
FAIL_S: Final = (2.0, 30.0)


@dataclass
class VenueFaults:
    """Chances are per call, order or trade."""

    latency_s: tuple[float, float] = (0.002, 0.05)
    not_sent: float = 0.0
    lost_request: float = 0.0
    lost_answer: float = 0.0
    late: float = 0.0
    late_s: tuple[float, float] = (0.1, 30.0)
    """After the poster has given up."""
    very_late: float = 0.0
    very_late_s: tuple[float, float] = (70.0, 120.0)
    delayed: float = 0.0
    delayed_s: tuple[float, float] = (0.2, 4.0)
    never_matched: float = 0.0
    """Of delayed ones."""
    no_match: float = 0.0
    partial: float = 0.0
    failed: float = 0.0
    """Per trade."""
    restart: float = 0.0
    """Per order: the engine goes down for `restart_s`, and answers 425."""
    restart_s: tuple[float, float] = (5.0, 40.0)
    rate_limited: float = 0.0
    cold: float = 0.0
    """Per order: signing it takes `cold_s`."""
    cold_s: tuple[float, float] = (0.1, 0.9)
    locked: float = 0.0
    """Per order: the balance is locked until it is refreshed."""
    read_fails: float = 0.0
    market_unread: float = 0.0
    """Per question of what a market is."""
    blind: float = 0.0
    """Per order: no read shows it until so long after its arrival."""
    blind_s: tuple[float, float] = (0.0, 18.0)
    lag_s: tuple[float, float] = (0.0, 0.0)
    """Reads show the state of so long ago."""
    event_lost: float = 0.0
    event_twice: float = 0.0
    event_late_s: tuple[float, float] = (0.01, 0.2)
    unresolved: float = 0.0
    """Per market: it is never resolved."""
    self_redeems: float = 0.0
    """Per market: the venue redeems by itself, so long after the resolution became public."""
    self_redeems_s: tuple[float, float] = (0.0, 20.0)
    reverts: float = 0.0
    """Per market: every request to redeem is taken, and the shares stay."""

    def off(self) -> None:
        """Only latency stays."""
        for each in fields(self):
            if each.type == "float":
                setattr(self, each.name, 0.0)
        self.lag_s = (0.0, 0.0)
        self.event_late_s = (0.01, 0.2)


@dataclass
class SimTrade:
    """One trade, with its statuses in time."""

    fill: Fill
    history: list[tuple[int, TradeStatus]]

    @property
    def status(self) -> TradeStatus:
        return self.history[-1][1]

    def at(self, as_of_ms: int) -> Fill | None:
        """The trade as a reader at that time saw it."""
        seen = [status for since_ms, status in self.history if since_ms <= as_of_ms]
        if not seen:
            return None
        return Fill(
            trade_id=self.fill.trade_id,
            order_id=self.fill.order_id,
            condition_id=self.fill.condition_id,
            token_id=self.fill.token_id,
            status=seen[-1],
            price_e4=self.fill.price_e4,
            size_e6=self.fill.size_e6,
            matched_at_ms=self.fill.matched_at_ms,
        )


@dataclass
class SimOrder:
    """An order that the venue has accepted."""

    order_id: str
    market: MarketInfo
    token_id: str
    wallet: str
    arrived_at_ms: int
    trades: list[SimTrade] = field(default_factory=list)
    pending: bool = False

    @property
    def live(self) -> list[SimTrade]:
        return [trade for trade in self.trades if trade.status is not TradeStatus.FAILED]

    @property
    def live_size_e6(self) -> int:
        return sum(trade.fill.size_e6 for trade in self.live)


@dataclass
class Payload:
    """What a prepared order carries."""

    market: MarketInfo
    token_id: str
    price_e4: int
    received_at_ns: int
    """When the book behind it was received."""
    superseded: bool
    """Whether its worker knew, before it claimed, that the book's feeder had been replaced."""


class SimVenue:
    """The venue. `exchange()` and `records()` make ports for one process."""

    def __init__(self, sim: Simulation, faults: VenueFaults) -> None:
        self.sim = sim
        self.faults = faults
        self.rng = sim.random("venue")
        self.process = sim.process("venue")
        self.orders: dict[str, SimOrder] = {}
        self.arrivals: list[str] = []
        """Order ids of every POST that reached the venue, whatever it answered."""
        self.given_up_late: set[str] = set()
        """Orders that landed so late that nobody can be blamed for having given them up."""
        self.injected: dict[str, int] = {}
        self.refused_until_ms = 0
        self.locked = False
        self.redeemed: dict[tuple[str, str], int] = {}
        """(condition id, wallet) -> since when its shares are gone, epoch ms."""
        self.self_redeemed: dict[str, int] = {}
        """condition id -> the same of all wallets' shares, which the venue redeems by itself."""
        self.redeem_requests: list[tuple[str, str]] = []
        """(condition id, wallet) of the requests that arrived, whatever came of them."""
        self.unresolved: dict[str, str] = {}
        """condition id -> in which way nobody can tell what it pays, for ever."""
        self.reverting: set[str] = set()
        """Markets whose winnings cannot be redeemed."""
        self.shown_from_ms: dict[str, int] = {}
        self.mute = False
        """Records of orders and trades never answer."""
        self.oldest_book_ms = 0
        """Age of the oldest book behind a POST, when the POST began."""
        self.on_superseded: list[str] = []
        """Orders on books of a feeder that their workers knew to be replaced."""
        self.superseded: Callable[[BookSnapshot], bool] = lambda _: False
        self.on_misnamed: list[str] = []
        """Orders by a listing that contradicts the CLOB."""
        self.misnamed: Callable[[MarketInfo], bool] = lambda _: False
        self.attempted: set[str] = set()
        """Orders that somebody tried to POST."""
        self.on_arrival: Callable[[str], None] = lambda _: None
        self.on_event: Callable[[Fill], None] = lambda _: None
        self._numbers = itertools.count(1)
        self._payouts: dict[str, tuple[int, dict[str, int]]] = {}

    def next_number(self) -> int:
        return next(self._numbers)

    def strikes(self, name: str) -> bool:
        chance = getattr(self.faults, name)
        struck = bool(chance) and self.rng.random() < chance
        if struck:
            self.injected[name] = self.injected.get(name, 0) + 1
            self.sim.record("venue-fault", name)
        return struck

    def between(self, bounds: tuple[float, float]) -> float:
        return self.rng.uniform(*bounds)

    # -- orders ----------------------------------------------------------------------------------

    def arrive(self, order: PreparedOrder, tell: Callable[[Answer], None]) -> None:
        """A POST at the venue's door; `tell` is called with the answer, in the venue's process."""
        self.arrivals.append(order.order_id)
        self.sim.record("venue-order", order.order_id)
        self.on_arrival(order.order_id)
        tell(self._judge(order))

    def _refusal(self, payload: Payload) -> RejectReason | None:
        now_ms = self.sim.now_ms
        if self.strikes("restart"):
            self.refused_until_ms = now_ms + int(self.between(self.faults.restart_s) * 1000)
        if self.strikes("locked"):
            self.locked = True
        refusals = {
            RejectReason.MARKET_CLOSED: now_ms >= payload.market.end_ms,
            RejectReason.ENGINE_RESTARTING: now_ms < self.refused_until_ms,
            RejectReason.RATE_LIMITED: self.strikes("rate_limited"),
            RejectReason.NOT_ENOUGH_BALANCE: self.locked,
            RejectReason.NO_MATCH: self.strikes("no_match"),
        }
        return next((reason for reason, holds in refusals.items() if holds), None)

    def _judge(self, order: PreparedOrder) -> Answer:
        payload: Payload = order.payload
        now_ms = self.sim.now_ms
        if order.order_id in self.orders:
            return Unknown(text="HTTP 400: Duplicated")
        refused = self._refusal(payload)
        if refused is not None:
            return _rejected(refused)
        wallet = order.trader.wallet
        accepted = SimOrder(order.order_id, payload.market, payload.token_id, wallet, now_ms)
        self.orders[order.order_id] = accepted
        if self.strikes("delayed"):
            accepted.pending = True
            if not self.strikes("never_matched"):
                wait_s = self.between(self.faults.delayed_s)
                self.process.call_later(wait_s, self._match, order, accepted)
            else:
                self.process.call_later(5.0, setattr, accepted, "pending", False)
            return Accepted(status="delayed", spend_e6=0, size_e6=0)
        self._match(order, accepted)
        size_e6 = sum(trade.fill.size_e6 for trade in accepted.trades)
        spend_e6 = sum(cost_e6(t.fill.price_e4, t.fill.size_e6) for t in accepted.trades)
        return Accepted(
            status="matched",
            spend_e6=spend_e6,
            size_e6=size_e6,
            trade_ids=tuple(trade.fill.trade_id for trade in accepted.trades),
        )

    def _match(self, order: PreparedOrder, accepted: SimOrder) -> None:
        payload: Payload = order.payload
        accepted.pending = False
        left_e6 = order.spend_e6
        if self.strikes("partial"):
            left_e6 = left_e6 * self.rng.randint(1, 9) // 10
        parts = self.rng.choice([1, 1, 1, 2, 3])
        now_ms = self.sim.now_ms
        for part in range(parts):
            price_e4 = payload.price_e4 - 100 * (parts - 1 - part)
            size_e6 = left_e6 // (parts - part) * PRICE_SCALE // price_e4
            left_e6 -= cost_e6(price_e4, size_e6)
            fill = Fill(
                trade_id=f"trade-{next(self._numbers)}",
                order_id=order.order_id,
                condition_id=payload.market.condition_id,
                token_id=payload.token_id,
                status=TradeStatus.MATCHED,
                price_e4=price_e4,
                size_e6=size_e6,
                matched_at_ms=now_ms,
            )
            trade = SimTrade(fill, [])
            accepted.trades.append(trade)
            self._move(trade, TradeStatus.MATCHED)
            fails = self.strikes("failed")
            steps = (
                [(TradeStatus.RETRYING, FAIL_S), (TradeStatus.FAILED, FAIL_S)]
                if fails
                else [(TradeStatus.MINED, CONFIRM_S), (TradeStatus.CONFIRMED, CONFIRM_S)]
            )
            after_s = 0.0
            for status, bounds in steps:
                after_s += self.between(bounds)
                self.process.call_later(after_s, self._move, trade, status)

    def _move(self, trade: SimTrade, status: TradeStatus) -> None:
        trade.history.append((self.sim.now_ms, status))
        self.sim.record("venue-trade", trade.fill.trade_id, status.value)
        seen = trade.at(self.sim.now_ms)
        assert seen is not None
        for _ in range(1 + self.strikes("event_twice")):
            if not self.strikes("event_lost"):
                self.process.call_later(self.between(self.faults.event_late_s), self.on_event, seen)

    # -- resolution ------------------------------------------------------------------------------

    def payouts(self, market: MarketInfo) -> tuple[int, dict[str, int]]:
        """(when it becomes public, USD a share in 1e-6 by token), decided once."""
        if market.condition_id not in self._payouts:
            rng = self.sim.random(f"resolution-{market.condition_id}")
            first, second = (outcome.token_id for outcome in market.outcomes)
            paid = rng.choice([(1_000_000, 0), (0, 1_000_000), (1_000_000, 0), (500_000, 500_000)])
            public_ms = market.end_ms + rng.randint(500, 30_000)
            self._payouts[market.condition_id] = public_ms, {first: paid[0], second: paid[1]}
            self._draw_end(market.condition_id, public_ms, rng)
        return self._payouts[market.condition_id]

    def _draw_end(self, condition_id: str, public_ms: int, rng: random.Random) -> None:
        """What goes wrong with a market after its end: the truth that the checks trust."""
        faults = self.faults
        unresolved, self_redeems, reverts = (
            rng.random() < chance
            for chance in (faults.unresolved, faults.self_redeems, faults.reverts)
        )
        if unresolved:
            self.unresolved[condition_id] = rng.choice(("undecided", "unreadable"))
        elif self_redeems:
            self.self_redeemed[condition_id] = public_ms + int(
                rng.uniform(*faults.self_redeems_s) * 1000
            )
        elif reverts:
            self.reverting.add(condition_id)
        else:
            return
        name = "unresolved" if unresolved else "self_redeems" if self_redeems else "reverts"
        self.injected[name] = self.injected.get(name, 0) + 1

    def redeemed_ms(self, condition_id: str, wallet: str) -> int:
        """Since when the wallet's shares in the market are gone."""
        never = 1 << 62
        asked_ms = self.redeemed.get((condition_id, wallet), never)
        return min(asked_ms, self.self_redeemed.get(condition_id, never))

    def blind_to(self, order_id: str) -> bool:
        """Whether reads do not show an order yet that has arrived."""
        order = self.orders.get(order_id)
        if order is None:
            return False
        if order_id not in self.shown_from_ms:
            hidden_s = self.between(self.faults.blind_s) if self.strikes("blind") else 0.0
            self.shown_from_ms[order_id] = order.arrived_at_ms + int(hidden_s * 1000)
        return self.sim.now_ms < self.shown_from_ms[order_id]


def _rejected(reason: RejectReason) -> Rejected:
    return Rejected(reason=reason, text=reason.value)
