"""The venue pays winnings out by itself, some time after a market's resolution (`auto_redeem`).

Whose shares of which market is drawn once, when the time has come; shares that are mined later
than that go, too, for as long as KEPT_MS.
"""

from __future__ import annotations

import asyncio
from typing import Final

from eth_utils.crypto import keccak

from sandbox.simulator.chain import redeem
from sandbox.simulator.market import Market
from sandbox.simulator.venue import Venue

EVERY_S: Final = 0.2
KEPT_MS: Final = 60_000


async def redeem_by_itself(venue: Venue) -> None:
    """Until cancelled."""
    chosen: dict[tuple[str, str], bool] = {}
    done: set[str] = set()
    while True:
        await asyncio.sleep(EVERY_S)
        for market in [m for m in venue.markets.values() if m.condition_id not in done]:
            if not market.resolved_at(venue.now_ms() - venue.faults.auto_redeem_ms):
                continue
            _redeem_chosen(venue, market, chosen)
            if market.resolved_at(venue.now_ms() - venue.faults.auto_redeem_ms - KEPT_MS):
                done.add(market.condition_id)


def _redeem_chosen(venue: Venue, market: Market, chosen: dict[tuple[str, str], bool]) -> None:
    holders = {
        trade.maker_address
        for trade in venue.journal.trades.values()
        if trade.condition_id == market.condition_id and trade.on_chain()
    }
    for address in sorted(holders):
        key = market.condition_id, address
        if key not in chosen:
            chosen[key] = venue.chance.hit("auto_redeem", venue.faults.auto_redeem)
        if chosen[key]:
            redeem(venue, "0x" + keccak(text="/".join(key)).hex(), address, market)
            venue.notice.changed()
