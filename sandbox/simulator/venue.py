"""The simulated venue without its sockets: markets, accounts, matching, and the frames they cause.

Everything runs in one thread, and an order is matched without awaiting, so atomically. What orders
do is in `engine`, `settlement` and `user_broadcast`, what goes wrong in `faults`, and what a wallet
does on the chain (redemption) in `chain`.

The live account is a deposit wallet (`wallets`, `relayer`); a plain one is refused unless it is
grandfathered. What holds taker orders is a fact of a market (`itode`, `delay_s`).

Not modelled, in no module: other traders reacting to our orders, resting orders (GTC, GTD) and
SELLs, Safe and proxy wallets, and any rule for failures: rate limits, restarts, failing settlement
and lagging reads happen when a fault asks for them, not by load or calendar.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, Final, TypeAlias

from aiohttp import web

from protocol.book import Level
from protocol.fee import FeeSchedule
from protocol.market import DOWN, UP
from sandbox.simulator import frames
from sandbox.simulator.auth import KeyRing
from sandbox.simulator.book import Side, VenueBook
from sandbox.simulator.broadcast import Broadcast
from sandbox.simulator.contracts import EXCHANGES
from sandbox.simulator.fan_out import FanOut, Notice, Subscriber
from sandbox.simulator.faults import Chance, Faults
from sandbox.simulator.frames import Change, Delta
from sandbox.simulator.journal import Journal
from sandbox.simulator.market import CRYPTO_FEE, SPLIT, Market, condition_id_of, token_ids_of
from sandbox.simulator.market_faults import Injections, MarketConnection
from sandbox.simulator.matching import VenueFill
from sandbox.simulator.wallets import deposit_wallet_of

VERSIONS_KEPT_MS: Final = 60_000
"""After the end of a market; its versions are of no use to anybody then."""
LAST_TRADE_AFTER_MS: Final = 3
"""A `last_trade_price` is stamped later than the book which has the trade; how much is made up."""
UNLIMITED: Final = (1 << 256) - 1


class CutConnection(Exception):  # noqa: N818 - an instruction of a fault hook, not an error
    """Raised by a hook: drop the TCP connection instead of answering."""


Hook: TypeAlias = Callable[[str], Awaitable[web.Response | None]]
"""Gets the order id; answers instead of the venue, or returns None to let it go on."""


@dataclass
class VenueAccount:
    """One wallet. Allowances are not used up, as with the unlimited ones people grant."""

    balance_e6: int
    allowances: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EXCHANGES, UNLIMITED))
    nonce: int = 0
    """Transactions sent so far."""
    reserved_e6: int = 0
    """USD of orders that are held: it cannot be spent twice."""
    matched_since_lock: int = 0
    """FAK orders matched since the last phantom lock ended, counted while there are such locks."""
    unlocks_at_ms: int | None = None
    """When the phantom lock ends, None before somebody has asked for the balance to be updated."""

    def phantom_locked(self, after: int, now_ms: int) -> bool:
        """Whether the balance counts as spent although it is not; ends a lock that is over."""
        if after == 0:
            self.matched_since_lock, self.unlocks_at_ms = 0, None
        if after == 0 or self.matched_since_lock < after:
            return False
        if self.unlocks_at_ms is not None and now_ms >= self.unlocks_at_ms:
            self.matched_since_lock, self.unlocks_at_ms = 0, None
            return False
        return True


class Venue:
    """Create one, add markets, `serve` it. See `sandbox.simulator` for an example."""

    def __init__(
        self, *, balance_e6: int = 1_000_000_000, seed: int = 0, keep_versions: int = 0
    ) -> None:
        """`keep_versions` of each token can be asked for with `version`, by default none."""
        self.markets: dict[str, Market] = {}
        """By condition id."""
        self.by_slug: dict[str, Market] = {}
        self.by_token: dict[str, Market] = {}
        self.accounts: dict[str, VenueAccount] = {}
        """By address in lower case."""
        self.journal = Journal()
        self.faults = Faults()
        """What goes wrong from now on; set its fields, or replace it."""
        self.chance = Chance(seed)
        self.keys = KeyRing()
        self.grandfathered: set[str] = set()
        """Plain wallets (lower case) that may trade all the same."""
        self.owners: dict[str, str] = {}
        """Of the deposit wallets, both in lower case: of everybody who has logged in."""
        self.undeployed: set[str] = set()
        """Deposit wallets (lower case) that are not on the chain yet; all others are."""
        self.relayer_keys: dict[str, str] = {}
        """Whose each key for the relayer is, in lower case."""
        self.relayed: dict[str, dict[str, str | None]] = {}
        """The relayer's transactions, by its own id."""
        self.receipts: dict[str, dict[str, str]] = {}
        """Of the chain, by transaction hash."""
        self.notice = Notice()
        """Await any fact: `await venue.notice.until(lambda: len(venue.journal.entries) == 1)`."""
        self.injections = Injections(self.chance, self.notice)
        """What was done to the market channel and `GET /book`, and when."""
        self.market_feed = FanOut(self.notice, partial(MarketConnection, self))
        self.user_feed = FanOut(self.notice, Subscriber)
        self._broadcast = Broadcast(self)
        self.closing = asyncio.Event()
        """Set when the venue ends, for those who wait for something longer than that."""
        self.before_matching: Hook | None = None
        self.after_matching: Hook | None = None
        self._balance_e6 = balance_e6
        self._keep_versions = keep_versions
        self._later: set[asyncio.Task[None]] = set()

    def now_ms(self) -> int:
        """The venue's clock."""
        return time.time_ns() // 1_000_000

    def account(self, address: str) -> VenueAccount:
        """The wallet's account, opened with the starting balance when first seen."""
        return self.accounts.setdefault(address.lower(), VenueAccount(self._balance_e6))

    def opened(self, owner: str) -> str:
        """The deposit wallet of somebody who logs in, which is there from now on."""
        wallet = deposit_wallet_of(owner)
        self.owners[wallet.lower()] = owner.lower()
        return wallet

    def is_deployed(self, wallet: str) -> bool:
        """Whether a deposit wallet stands at this address."""
        return wallet.lower() in self.owners and wallet.lower() not in self.undeployed

    def issue_relayer_key(self, owner: str) -> str:
        """A key for the relayer, as the venue's website makes one."""
        key = f"relayer-key-{len(self.relayer_keys)}"
        self.relayer_keys[key] = owner.lower()
        return key

    # ---- markets and books -------------------------------------------------------------------

    def add_market(
        self,
        slug: str,
        *,
        start_ms: int,
        end_ms: int,
        outcomes: tuple[str, str] = (UP, DOWN),
        token_ids: tuple[str, str] | None = None,
        tick_size_e4: int = 100,
        min_order_size_e6: int = 5_000_000,
        fee: FeeSchedule = CRYPTO_FEE,
        neg_risk: bool = False,
    ) -> Market:
        """List a market with empty books. Raises ValueError when the slug is taken."""
        if slug in self.by_slug:
            raise ValueError(f"market {slug} is already listed")
        first, second = token_ids or token_ids_of(slug, outcomes)
        market = Market(
            slug=slug,
            condition_id=condition_id_of(slug),
            outcomes=outcomes,
            books=(
                VenueBook(first, self._keep_versions),
                VenueBook(second, self._keep_versions),
            ),
            start_ms=start_ms,
            end_ms=end_ms,
            tick_size_e4=tick_size_e4,
            min_order_size_e6=min_order_size_e6,
            fee=fee,
            neg_risk=neg_risk,
            accepting=True,
        )
        self._forget_versions()
        for book in market.books:
            book.timestamp_ms = self.now_ms()
            self.by_token[book.token_id] = market
        self.markets[market.condition_id] = market
        self.by_slug[slug] = market
        return market

    def set_book(
        self, token_id: str, bids: Iterable[Level], asks: Iterable[Level], *, mirror: bool = True
    ) -> None:
        """Replace a token's book and send a `book` frame; levels in any order.

        With `mirror` the other token gets the mirror image (a bid at p is an ask at 1 - p), as at
        the real venue, where both books are the same orders seen from two sides.
        """
        market, book, other = self.books(token_id)
        bids, asks = tuple(bids), tuple(asks)
        changed = [(book, bids, asks)]
        if mirror:
            changed.append((other, _mirrored(asks), _mirrored(bids)))
        self.replace_books(market, changed)

    def replace_books(
        self, market: Market, books: Sequence[tuple[VenueBook, Iterable[Level], Iterable[Level]]]
    ) -> None:
        """Replace (book, bids, asks) and send a `book` frame for each."""
        self._before_change(market)
        for book, bids, asks in books:
            book.replace(bids, asks)
            book.timestamp_ms = self.now_ms()
            self._broadcast.send(book.token_id, frames.book_frame(market, book))

    def change_level(
        self, token_id: str, side: Side, price_e4: int, size_e6: int, *, mirror: bool = True
    ) -> None:
        """Set a level's new aggregate size (0 removes it) and send one `price_change` frame."""
        market, book, other = self.books(token_id)
        changes = _both(book, other, (side, price_e4, size_e6))
        self.change_levels(market, changes if mirror else changes[:1])

    def change_levels(self, market: Market, changes: Sequence[Change]) -> None:
        """Apply changes of one market's books and send them as one `price_change` frame.

        However many there are, they make one version of each book. A connection that reads only
        one of the tokens gets only that token's entries.
        """
        self._remember(market)
        now_ms = self.now_ms()
        delta = Delta(changes, now_ms, frames.apply_changes(market, changes, now_ms))
        self._broadcast.look_ahead(market, delta)
        if not self._broadcast.may_hold(market, delta):
            self._broadcast.changes(market, delta)

    def change_tick_size(self, market: Market, tick_size_e4: int) -> None:
        """Announce a new tick size for both tokens, then their books afresh."""
        self._before_change(market)
        old_e4, market.tick_size_e4 = market.tick_size_e4, tick_size_e4
        for book in market.books:
            book.timestamp_ms = self.now_ms()
            frame = frames.tick_size_frame(market, book.token_id, old_e4, book.timestamp_ms)
            self._broadcast.send(book.token_id, frame)
        for book in market.books:
            self._broadcast.send(book.token_id, frames.book_frame(market, book))

    def trade(
        self,
        token_id: str,
        price_e4: int,
        size_e6: int,
        levels: Sequence[tuple[Side, int, int]] = (),
    ) -> None:
        """Somebody bought, up to this price; `levels` are what that made of the token's book.

        They are (side, price, new size); the other token's book mirrors them.
        """
        fill = VenueFill(price_e4=price_e4, size_e6=size_e6, spend_e6=0, fee_e6=0)
        self.send_trades(token_id, [fill], "0x" + "00" * 32, self.now_ms(), levels)

    def version(
        self, token_id: str, version_hash: str
    ) -> tuple[tuple[Level, ...], tuple[Level, ...]] | None:
        """(bids, asks) of the token's book that had this hash, best first, all levels.

        None when no such hash was ever sent, or when it is older than the versions kept.
        """
        _, book, _ = self.books(token_id)
        version = None if book.versions is None else book.versions.get(version_hash)
        return None if version is None else version.levels()

    def book_text(self, token_id: str) -> str:
        """The token's `book` frame now."""
        market, book, _ = self.books(token_id)
        return frames.book_frame(market, book)

    def resolve(self, market: Market, winner: str | None) -> None:
        """Make a winner public now, which also closes the market; None is a split, half and half.

        Raises ValueError when the market has no such outcome.
        """
        if winner is None:
            market.payouts = SPLIT
        elif winner in market.outcomes:
            first, second = (Decimal(winner == outcome) for outcome in market.outcomes)
            market.payouts = (first, second)
        else:
            raise ValueError(f"market {market.slug} has no outcome {winner!r}")
        market.resolves_at_ms = self.now_ms()

    def cut_market_connections(self) -> None:
        """Drop every market-channel connection, as a network failure does."""
        for connection in tuple(self.market_feed.connections):
            connection.abort()

    def cut_user_connections(self) -> None:
        """Drop every user-channel connection, as a network failure does."""
        for connection in tuple(self.user_feed.connections):
            connection.abort()

    async def subscribed(self, *token_ids: str) -> None:
        """Return once every token has a reader on the market channel."""
        await self.notice.until(lambda: all(self.market_feed.readers(t) for t in token_ids))

    # ---- what comes later -------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something happen by itself; it ends with the venue."""
        task = asyncio.get_running_loop().create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def close(self) -> None:
        """End what was to come later, and close the websockets."""
        self.closing.set()
        for task in tuple(self._later):
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        await asyncio.gather(self.market_feed.close(), self.user_feed.close())

    # ---- frames ------------------------------------------------------------------------------

    def send_trades(
        self,
        token_id: str,
        fills: Sequence[VenueFill],
        transaction: str,
        now_ms: int,
        levels: Sequence[tuple[Side, int, int]] = (),
    ) -> None:
        """Send the frames of BUYs of one token, which make one new version of both books.

        As the real venue does it: a `price_change` for each level, all of them with the hash and
        the best prices of the book after the last, so that the books are crossed in between; both
        `book`s of that version; and only then the prices, which are in the hashes already.
        """
        market, book, other = self.books(token_id)
        self._before_change(market)
        market.last_trade_e4 = fills[-1].price_e4
        pairs = [_both(book, other, level) for level in levels]
        for each in market.books:
            each.timestamp_ms = now_ms
        tops = frames.apply_changes(market, itertools.chain(*pairs), now_ms)
        for pair in pairs:
            self._broadcast.changes(market, Delta(pair, now_ms, tops))
        for each in market.books:
            self._broadcast.send(each.token_id, frames.book_frame(market, each))
        for fill in fills:
            frame = frames.last_trade_frame(
                market,
                token_id,
                "BUY",
                price_e4=fill.price_e4,
                size_e6=fill.size_e6,
                transaction_hash=transaction,
                now_ms=now_ms + LAST_TRADE_AFTER_MS,
            )
            self._broadcast.last_trade(market, token_id, frame)

    def _before_change(self, market: Market) -> None:
        self._broadcast.release(market)
        self._remember(market)

    def _remember(self, market: Market) -> None:
        """To be called before its books change: `GET /book` may lag behind."""
        if self.faults.book_lag_ms:
            for book in market.books:
                book.past.add(self.now_ms(), frames.version_of(market, book))

    def _forget_versions(self) -> None:
        forgotten_ms = self.now_ms() - VERSIONS_KEPT_MS
        for market in self.markets.values():
            if market.end_ms < forgotten_ms:
                for book in market.books:
                    if book.versions is not None:
                        book.versions.clear()

    def books(self, token_id: str) -> tuple[Market, VenueBook, VenueBook]:
        """(market, the token's book, the other token's book). Raises KeyError."""
        market = self.by_token[token_id]
        first, second = market.books
        return (market, first, second) if first.token_id == token_id else (market, second, first)


def _both(book: VenueBook, other: VenueBook, level: tuple[Side, int, int]) -> list[Change]:
    """A change of a book, and its mirror image in the other."""
    side, price_e4, size_e6 = level
    opposite: Side = "SELL" if side == "BUY" else "BUY"
    return [
        (book.token_id, side, price_e4, size_e6),
        (other.token_id, opposite, 10_000 - price_e4, size_e6),
    ]


def _mirrored(levels: Iterable[Level]) -> tuple[Level, ...]:
    return tuple((10_000 - price_e4, size_e6) for price_e4, size_e6 in levels)
