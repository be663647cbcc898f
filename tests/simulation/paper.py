"""What accounts on paper have in the venue's place: production's own exchange, which is watched,
and the records that anybody may read."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from functions.adapters.paper_exchange import PaperExchange
from functions.core.claim import NOBODY, Claim
from functions.core.evidence import OrderLookup
from functions.ports import PreparedOrder
from protocol.fill import Fill
from protocol.market import MarketInfo
from tests.simulation.venue import SimVenue
from tests.simulation.venue_ports import SimRecords
from venue.wire.order_answer import Accepted, Answer


class PaperWitness:
    """Every order that was given to a paper exchange, and what it has bought."""

    def __init__(self) -> None:
        self.posts: Counter[str] = Counter()
        """By order id."""
        self.bought_e6: dict[str, int] = {}
        """Shares by order id, of those that bought any."""
        self.on_arrival: Callable[[str], None] = lambda _: None


class SimPaperExchange(PaperExchange):
    """`Exchange` without the venue."""

    def __init__(self, witness: PaperWitness, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._witness = witness

    async def post(self, order: PreparedOrder) -> Answer:
        self._witness.posts[order.order_id] += 1
        self._witness.on_arrival(order.order_id)
        answer = await super().post(order)
        if isinstance(answer, Accepted):
            self._witness.bought_e6[order.order_id] = answer.size_e6
        return answer


class SimPublicRecords(SimRecords):
    """`VenueRecords` of nobody, as `functions.adapters.venue_records.PublicRecords`."""

    def __init__(self, venue: SimVenue, markets: dict[str, MarketInfo]) -> None:
        super().__init__(venue, markets, NOBODY)

    async def lookup(self, claim: Claim) -> OrderLookup:
        asked_at_ms = self._venue.sim.now_ms
        await asyncio.sleep(0)
        return OrderLookup(seen_by=NOBODY, order=None, trades=(), asked_at_ms=asked_at_ms)

    async def trades_since(self, since_ms: int) -> tuple[Fill, ...]:
        return ()

    async def positions(self, token_ids: Any) -> dict[str, int]:
        return {}

    async def redeem(self, condition_id: str) -> None:
        raise AssertionError("on paper there is nothing to redeem")
