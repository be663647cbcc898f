"""The ports `Exchange`, `ClobMarkets` and `VenueRecords` on the simulated venue, and faults on the
way to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from functions.core.claim import Claim, Trader, trader_of
from functions.core.evidence import OrderLookup, Resolution, Undecided
from functions.core.trade import Trade
from functions.ports import MinedTransaction, PreparedOrder, RecordsError
from protocol.fill import Fill
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from protocol.units import PRICE_SCALE
from tests.simulation.venue import Payload, SimOrder, SimVenue
from venue.wire.clob_market import ClobMarket
from venue.wire.order_answer import Answer, Rejected, RejectReason, Unknown
from venue.wire.orders import OrderRecord

POST_TIMEOUT_S: Final = 5.0
TRADER: Final = trader_of("0x" + "11" * 20, "0x" + "22" * 20)
SECOND: Final = trader_of("0x" + "11" * 20, "0x" + "55" * 20)
"""The same signer's other wallet."""
STRANGER: Final = trader_of("0x" + "33" * 20, "0x" + "44" * 20)


class SimExchange:
    """`Exchange` of the process that calls it."""

    def __init__(self, venue: SimVenue, trader: Trader = TRADER) -> None:
        self._venue = venue
        self._trader = trader

    async def warm(self, market: MarketInfo) -> None:
        await asyncio.sleep(self._venue.between((0.001, 0.02)))

    async def prepare(self, trade: Trade, snapshot: BookSnapshot) -> PreparedOrder:
        venue = self._venue
        await asyncio.sleep(venue.between(venue.faults.cold_s) if venue.strikes("cold") else 0)
        number = venue.next_number()
        return PreparedOrder(
            order_id=f"0xorder{number}",
            trader=self._trader,
            salt=str(number),
            order_timestamp_ms=venue.sim.now_ms,
            spend_e6=trade.spend_e6,
            size_e6=trade.spend_e6 * PRICE_SCALE // trade.max_price_e4,
            payload=Payload(
                snapshot.market,
                trade.token_id,
                trade.signal_price_e4,
                snapshot.received_at_ns,
                venue.superseded(snapshot),
            ),
        )

    async def post(self, order: PreparedOrder) -> Answer:
        venue, faults = self._venue, self._venue.faults
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        poster = venue.sim.current
        venue.attempted.add(order.order_id)
        if venue.misnamed(order.payload.market):
            venue.on_misnamed.append(order.order_id)
        if order.payload.superseded:
            venue.on_superseded.append(order.order_id)
        age_ms = (venue.sim.time_ns() - order.payload.received_at_ns) // 1_000_000
        venue.oldest_book_ms = max(venue.oldest_book_ms, age_ms)
        if venue.strikes("not_sent"):
            return Rejected(reason=RejectReason.NOT_SENT, text="ConnectError")

        def tell(told: Answer) -> None:
            if venue.strikes("lost_answer"):
                return
            if not poster.dead:
                poster.call_later(venue.between(faults.latency_s), _resolve, answer, told)

        if venue.strikes("lost_request"):
            pass
        elif venue.strikes("late"):
            wait_s = POST_TIMEOUT_S + venue.between(faults.late_s)
            venue.process.call_later(wait_s, venue.arrive, order, lambda _: None)
        elif venue.strikes("very_late"):
            venue.given_up_late.add(order.order_id)
            wait_s = POST_TIMEOUT_S + venue.between(faults.very_late_s)
            venue.process.call_later(wait_s, venue.arrive, order, lambda _: None)
        else:
            venue.process.call_later(venue.between(faults.latency_s), venue.arrive, order, tell)
        try:
            async with asyncio.timeout(POST_TIMEOUT_S):
                return await answer
        except TimeoutError:
            return Unknown(text="no answer")

    def observe(self, snapshot: BookSnapshot) -> None:
        pass

    def forget(self, condition_id: str) -> None:
        pass

    def rehearsal(self) -> None:
        pass

    def problem(self) -> str | None:
        return None

    async def refresh_balance(self) -> None:
        await asyncio.sleep(self._venue.between(self._venue.faults.latency_s))
        self._venue.locked = False

    async def upkeep(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


class SimClobMarkets:
    """`ClobMarkets` of the process that calls it: what the venue's markets really are."""

    def __init__(self, venue: SimVenue, markets: dict[str, MarketInfo]) -> None:
        self._venue = venue
        self._markets = markets

    async def market(self, condition_id: str) -> ClobMarket:
        venue = self._venue
        await asyncio.sleep(venue.between(venue.faults.latency_s))
        if venue.strikes("market_unread"):
            raise RecordsError("the venue did not answer")
        info = self._markets[condition_id]
        return ClobMarket(
            outcomes=info.outcomes,
            neg_risk=info.neg_risk,
            tick_size_e4=info.tick_size_e4,
            min_order_size_e6=info.min_order_size_e6,
            fee=info.fee,
            taker_delay_ms=None,
        )

    async def close(self) -> None:
        pass


class SimRecords:
    """`VenueRecords` of the process that calls it."""

    def __init__(
        self, venue: SimVenue, markets: dict[str, MarketInfo], trader: Trader = TRADER
    ) -> None:
        self.trader = trader
        self._venue = venue
        self._markets = markets

    def now_ms(self) -> int:
        return self._venue.sim.now_ms

    async def _asked(self, *, private: bool = False) -> int:
        """Travel; returns the time that the answer shows, in epoch ms."""
        venue = self._venue
        if private and venue.mute:
            raise RecordsError("the venue does not answer")
        await asyncio.sleep(venue.between(venue.faults.latency_s))
        if venue.strikes("read_fails"):
            await asyncio.sleep(venue.rng.choice([0.01, 5.0]))
            raise RecordsError("the venue did not answer")
        return venue.sim.now_ms - int(venue.between(venue.faults.lag_s) * 1000)

    async def lookup(self, claim: Claim) -> OrderLookup:
        asked_at_ms = self._venue.sim.now_ms
        order_as_of_ms = await self._asked(private=True)
        if self._venue.blind_to(claim.order_id):
            return OrderLookup(seen_by=self.trader, order=None, trades=(), asked_at_ms=asked_at_ms)
        order = self._order(claim.order_id)
        record = None
        if order is not None and order.arrived_at_ms <= order_as_of_ms:
            seen = [trade.at(order_as_of_ms) for trade in order.trades]
            matched_e6 = sum(fill.size_e6 for fill in seen if fill is not None)
            status = "matched" if matched_e6 else ("delayed" if order.pending else "unmatched")
            record = OrderRecord(order_id=claim.order_id, status=status, size_matched_e6=matched_e6)
        as_of_ms = await self._asked()
        order = self._order(claim.order_id)
        trades = [trade.at(as_of_ms) for trade in order.trades] if order else []
        shown = tuple(fill for fill in trades if fill is not None)
        return OrderLookup(seen_by=self.trader, order=record, trades=shown, asked_at_ms=asked_at_ms)

    def _order(self, order_id: str) -> SimOrder | None:
        order = self._venue.orders.get(order_id)
        return None if order is None or order.wallet != self.trader.wallet else order

    async def trades_since(self, since_ms: int) -> tuple[Fill, ...]:
        as_of_ms = await self._asked(private=True)
        seen = (
            trade.at(as_of_ms)
            for order in self._venue.orders.values()
            if order.wallet == self.trader.wallet and not self._venue.blind_to(order.order_id)
            for trade in order.trades
        )
        return tuple(fill for fill in seen if fill is not None and fill.matched_at_ms >= since_ms)

    async def resolution(self, claim: Claim) -> Resolution | Undecided:
        as_of_ms = await self._asked()
        self._venue.payouts(self._markets[claim.condition_id])
        way = self._venue.unresolved.get(claim.condition_id)
        if way == "unreadable":
            raise RecordsError("the record cannot be read")
        if way is not None:
            return Undecided(reason="the venue names no winner")
        public_ms, payouts = self._venue.payouts(self._markets[claim.condition_id])
        if as_of_ms < public_ms:
            return Undecided(reason="not closed")
        return Resolution(payouts_e6=payouts, source="clob")

    async def positions(self, token_ids: Sequence[str]) -> dict[str, int]:
        as_of_ms = await self._asked()
        held = dict.fromkeys(token_ids, 0)
        for order in self._venue.orders.values():
            if order.wallet != self.trader.wallet or order.token_id not in held:
                continue
            gone_ms = self._venue.redeemed_ms(order.market.condition_id, order.wallet)
            if order.arrived_at_ms <= as_of_ms < gone_ms:
                held[order.token_id] += order.live_size_e6
        return held

    async def redeem(self, condition_id: str) -> None:
        await self._asked()
        venue = self._venue
        venue.sim.record("venue-redeem", condition_id)
        asked = condition_id, self.trader.wallet
        venue.redeem_requests.append(asked)
        if condition_id not in venue.reverting:
            venue.redeemed.setdefault(asked, venue.sim.now_ms)

    async def mined(self) -> tuple[MinedTransaction, ...]:
        return ()

    async def close(self) -> None:
        pass


class StrangersRecords(SimRecords):
    """Of another account, which has traded nothing; what anybody may read is the same."""

    def __init__(self, venue: SimVenue, markets: dict[str, MarketInfo]) -> None:
        super().__init__(venue, markets, STRANGER)

    async def _nothing(self) -> None:
        await asyncio.sleep(self._venue.between(self._venue.faults.latency_s))

    async def lookup(self, claim: Claim) -> OrderLookup:
        asked_at_ms = self._venue.sim.now_ms
        await self._nothing()
        return OrderLookup(seen_by=self.trader, order=None, trades=(), asked_at_ms=asked_at_ms)

    async def trades_since(self, since_ms: int) -> tuple[Fill, ...]:
        await self._nothing()
        return ()

    async def positions(self, token_ids: Sequence[str]) -> dict[str, int]:
        await self._nothing()
        return dict.fromkeys(token_ids, 0)

    async def redeem(self, condition_id: str) -> None:
        await self._nothing()  # it has no shares to be paid for


def _resolve(future: asyncio.Future[Answer], answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)
