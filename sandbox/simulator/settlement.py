"""A trade on its way to the chain: MATCHED, MINED, CONFIRMED, or MATCHED, RETRYING, FAILED.

Money and shares move with the match. A trade that fails gives both back, fee included, and the
journal's live amounts go down with it; the order keeps saying what it had matched.

Not modelled: a retry that succeeds, and that the real venue settles trades of one match in one
transaction (here each of them fails or not for itself). Steps take tenths of a second (at the real
venue seconds), and longer when a fault says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from sandbox.simulator.journal import Entry, JournalTrade
from sandbox.simulator.user_broadcast import broadcast_to
from sandbox.simulator.user_events import trade_event
from sandbox.simulator.venue import Venue

# (seconds after the step before, status when all is well, status of a trade that fails)
STEPS: Final = ((0.1, "MINED", "RETRYING"), (0.2, "CONFIRMED", "FAILED"))


def settle(venue: Venue, entry: Entry, trades: Sequence[JournalTrade]) -> None:
    """Let the trades of one match, which `entry` is about, take their course."""
    faults, chance = venue.faults, venue.chance
    failing = {t.trade_id for t in trades if chance.hit("failed_trade", faults.failed_trade)}
    if failing:
        entry.faults.append("failed_trade")
    venue.spawn(_settle(venue, entry, trades, failing))


async def _settle(
    venue: Venue, entry: Entry, trades: Sequence[JournalTrade], failing: set[str]
) -> None:
    for after_s, well, failed in STEPS:
        await asyncio.sleep(after_s + venue.faults.settle_ms / 1000)
        for trade in trades:
            trade.advance(failed if trade.trade_id in failing else well, venue.now_ms())
            if trade.status == "FAILED":
                _give_back(venue, entry, trade)
            broadcast_to(venue, trade.owner, trade.condition_id, trade_event(trade))
    venue.notice.changed()


def _give_back(venue: Venue, entry: Entry, trade: JournalTrade) -> None:
    fill = trade.fill
    venue.account(trade.maker_address).balance_e6 += fill.spend_e6 + fill.fee_e6
    entry.live_spend_e6 -= fill.spend_e6
    entry.live_size_e6 -= fill.size_e6
    entry.live_fee_e6 -= fill.fee_e6
