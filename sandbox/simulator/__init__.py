"""A simulated venue that the official client trades on unmodified.

As a library, with books that a test scripts:

    venue = Venue()
    market = venue.add_market("btc-updown-15m-1800000000", start_ms=..., end_ms=...)
    up = market.token("Up")
    venue.set_book(up, bids=[(4900, 100_000_000)], asks=[(5000, 100_000_000)])
    async with serve(venue) as url:  # Gamma and CLOB at url, sockets at /ws/market, /ws/user
        await venue.subscribed(up)  # somebody reads the market channel
        venue.change_level(up, "SELL", 5000, 20_000_000)
        await venue.notice.until(lambda: venue.journal.matched() != [])

Who trades needs a deposit wallet, `deposit_wallet_of(signer)`, which is there and funded once the
signer has logged in; a plain wallet has to be one of `venue.grandfathered`.

Prices are in 1e-4 USD, sizes in 1e-6 shares, as in `protocol.units`. As a process that replays the
bundled recordings: `python -m sandbox.simulator --help`.

It fails on request, see `sandbox.simulator.faults`: `venue.faults.drop_after = 0.5`, or, while it
runs, `POST /sandbox/faults {"drop_after": 0.5}`. What it did to whom is in the journal. The market
channel fails one connection at a time, see `sandbox.simulator.market_faults`:

    first, second = venue.market_feed.connections
    first.freeze()
    second.inject("market_lost", token=up)

What was done there, and when, is in `venue.injections.log`. `Venue(keep_versions=1_000)` remembers
which book it sent with which hash: `venue.version(token_id, hash) -> (bids, asks) | None`.
`sandbox.simulator.flood` makes up markets with as many changes a second as asked.
"""

from sandbox.simulator.app import serve
from sandbox.simulator.clob import answer, error
from sandbox.simulator.faults import Faults
from sandbox.simulator.market import Market, position_ids_of
from sandbox.simulator.venue import CutConnection, Venue
from sandbox.simulator.wallets import deposit_wallet_of

__all__ = [
    "CutConnection",
    "Faults",
    "Market",
    "Venue",
    "answer",
    "deposit_wallet_of",
    "error",
    "position_ids_of",
    "serve",
]
