"""The simulated venue without its sockets: markets, accounts, matching, and the frames they cause.

Everything here runs in one thread without awaiting, so an order is matched atomically.

Not modelled: other traders reacting to our orders, resting orders (GTC, GTD) and SELLs, the 250 ms
hold of taker orders, on-chain failure of trades (RETRYING, FAILED), redemption (a resolution pays
nothing into the balance), rate limits, and the lag of reads behind writes. A match is taken to be a
*mint* (a bid of the other token on the other side), so it trades both tokens: each gets a
`last_trade_price`, the second one at 1 - price.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, TypeAlias

from aiohttp import web

from protocol.book import Level
from protocol.market import DOWN, UP, FeeSchedule
from sandbox.venue import frames, rules
from sandbox.venue.auth import ApiKey, KeyRing
from sandbox.venue.book import Side, TokenBook
from sandbox.venue.contracts import EXCHANGES, exchange_for
from sandbox.venue.feed import Connection, Feed, Notice
from sandbox.venue.frames import Change
from sandbox.venue.journal import Entry, Journal, MatchedOrder, Trade
from sandbox.venue.market import CRYPTO_FEE, Market, condition_id_of, token_ids_of
from sandbox.venue.matching import Fill, buy
from sandbox.venue.order import Order
from sandbox.venue.user_events import order_event, trade_event

UNLIMITED: Final = (1 << 256) - 1
# A trade is mined and confirmed soon after its match; seconds at the real venue.
SETTLEMENT_STEPS: Final = (("MINED", 0.1), ("CONFIRMED", 0.2))


class CutConnection(Exception):  # noqa: N818 - an instruction of a fault hook, not an error
    """Raised by a hook: drop the TCP connection instead of answering."""


Hook: TypeAlias = Callable[[str], Awaitable[web.Response | None]]
"""Gets the order id; answers instead of the venue, or returns None to let it go on."""


@dataclass
class Account:
    """One wallet. Allowances are not used up, as with the unlimited ones people grant."""

    balance_e6: int
    allowances: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EXCHANGES, UNLIMITED))


class Venue:
    """Create one, add markets, `serve` it. See `sandbox.venue` for an example."""

    def __init__(self, *, balance_e6: int = 1_000_000_000) -> None:
        self.markets: dict[str, Market] = {}
        """By condition id."""
        self.by_slug: dict[str, Market] = {}
        self.by_token: dict[str, Market] = {}
        self.accounts: dict[str, Account] = {}
        """By address in lower case."""
        self.journal = Journal()
        self.keys = KeyRing()
        self.notice = Notice()
        """Await any fact: `await venue.notice.until(lambda: len(venue.journal.entries) == 1)`."""
        self.market_feed = Feed(self.notice)
        self.user_feed = Feed(self.notice)
        self.before_matching: Hook | None = None
        self.after_matching: Hook | None = None
        self._balance_e6 = balance_e6
        self._settling: set[asyncio.Task[None]] = set()

    def now_ms(self) -> int:
        """The venue's clock."""
        return time.time_ns() // 1_000_000

    def account(self, address: str) -> Account:
        """The wallet's account, opened with the starting balance when first seen."""
        return self.accounts.setdefault(address.lower(), Account(self._balance_e6))

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
            books=(TokenBook(first), TokenBook(second)),
            start_ms=start_ms,
            end_ms=end_ms,
            tick_size_e4=tick_size_e4,
            min_order_size_e6=min_order_size_e6,
            fee=fee,
            neg_risk=neg_risk,
            accepting=True,
        )
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
        market, book, other = self._books(token_id)
        bids, asks = tuple(bids), tuple(asks)
        changed = [(book, bids, asks)]
        if mirror:
            changed.append((other, _mirrored(asks), _mirrored(bids)))
        self.replace_books(market, changed)

    def replace_books(
        self, market: Market, books: Sequence[tuple[TokenBook, Iterable[Level], Iterable[Level]]]
    ) -> None:
        """Replace (book, bids, asks) and send a `book` frame for each."""
        for book, bids, asks in books:
            book.replace(bids, asks)
            book.timestamp_ms = self.now_ms()
            self._send((book.token_id,), frames.book_frame(market, book))

    def change_level(
        self, token_id: str, side: Side, price_e4: int, size_e6: int, *, mirror: bool = True
    ) -> None:
        """Set a level's new aggregate size (0 removes it) and send one `price_change` frame."""
        market, book, other = self._books(token_id)
        changes: list[Change] = [(book.token_id, side, price_e4, size_e6)]
        if mirror:
            opposite: Side = "SELL" if side == "BUY" else "BUY"
            changes.append((other.token_id, opposite, 10_000 - price_e4, size_e6))
        self.change_levels(market, changes)

    def change_levels(self, market: Market, changes: Sequence[Change]) -> None:
        """Apply changes of one market's books and send them as one `price_change` frame.

        A connection that reads only one of the tokens gets only that token's entries.
        """
        now_ms = self.now_ms()
        entries = frames.apply_changes(market, changes, now_ms)
        tokens = {token_id for token_id, _ in entries}
        texts: dict[frozenset[str], str] = {}
        for connection in self._readers(tokens):
            wanted = frozenset(tokens & connection.tokens)
            text = texts.get(wanted)
            if text is None:
                text = texts[wanted] = frames.price_change_frame(
                    market, (entry for token_id, entry in entries if token_id in wanted), now_ms
                )
            connection.send(text)

    def change_tick_size(self, market: Market, tick_size_e4: int) -> None:
        """Announce a new tick size for both tokens, then their books afresh."""
        old_e4, market.tick_size_e4 = market.tick_size_e4, tick_size_e4
        for book in market.books:
            book.timestamp_ms = self.now_ms()
            frame = frames.tick_size_frame(market, book.token_id, old_e4, book.timestamp_ms)
            self._send((book.token_id,), frame)
        for book in market.books:
            self._send((book.token_id,), frames.book_frame(market, book))

    def resolve(self, market: Market, winner: str) -> None:
        """Make a winner public now, which also closes the market."""
        market.payouts = (
            Decimal(winner == market.outcomes[0]),
            Decimal(winner == market.outcomes[1]),
        )
        market.resolves_at_ms = self.now_ms()

    def cut_market_connections(self) -> None:
        """Drop every market-channel connection, as a network failure does."""
        for connection in tuple(self.market_feed.connections):
            connection.abort()

    async def subscribed(self, *token_ids: str) -> None:
        """Return once every token has a reader on the market channel."""
        await self.notice.until(lambda: all(self.market_feed.readers(t) for t in token_ids))

    # ---- orders ------------------------------------------------------------------------------

    def place(self, order: Order, key: ApiKey, entry: Entry) -> tuple[str, ...]:
        """Check, match and settle one order; returns its transaction hashes.

        Fills in `entry`. Raises rules.Refused with the venue's text.
        """
        now_ms = self.now_ms()
        market = self.by_token.get(order.token_id)
        rules.check_identity(order, key.key, key.address)
        if market is None or not market.open_at(now_ms):
            raise rules.Refused(rules.no_orderbook(order.token_id))
        if order.order_id in self.journal.seen:
            raise rules.Refused(rules.duplicated(order.order_id))
        if not market.accepting:
            raise rules.Refused(rules.NOT_READY)
        rules.check_decimals(order, market.tick_size_e4)
        entry.limit_e4 = limit_e4 = rules.limit_price_e4(order, market.tick_size_e4)
        rules.check_minimum(order, market, limit_e4)
        account = self.account(order.maker)
        worst_fee_e6 = rules.fee_e6(market.fee, limit_e4, order.taker_amount_e6)
        exchange, _ = exchange_for(order.token_id, neg_risk=market.neg_risk)
        rules.check_funds(
            order.maker_amount_e6 + worst_fee_e6,
            account.balance_e6,
            account.allowances.get(exchange, 0),
            exchange,
        )

        self.journal.seen.add(order.order_id)
        _, book, other = self._books(order.token_id)
        fills, complete = buy(book.buyable(), limit_e4, order.maker_amount_e6, market.fee)
        if order.order_type == "FOK" and not complete:
            raise rules.Refused(rules.NOT_FILLED)
        if not fills:
            raise rules.Refused(rules.NO_MATCH)

        for fill in fills:
            book.take(fill.price_e4, fill.size_e6)
            account.balance_e6 -= fill.spend_e6 + fill.fee_e6
        transaction = "0x" + secrets.token_hex(32)
        trades = [self._trade(order, market, fill, transaction, now_ms) for fill in fills]
        entry.verdict = "matched"
        entry.fills = fills
        entry.spend_e6 = sum(fill.spend_e6 for fill in fills)
        entry.size_e6 = sum(fill.size_e6 for fill in fills)
        entry.fee_e6 = sum(fill.fee_e6 for fill in fills)
        entry.trade_ids = [trade.trade_id for trade in trades]
        entry.balance_after_e6 = account.balance_e6
        self._announce(order, market, entry, trades, now_ms)
        self._announce_prices(market, book, other, fills, transaction, now_ms)
        return (transaction,)

    async def close(self) -> None:
        """Stop settling trades and close the websockets."""
        for task in tuple(self._settling):
            task.cancel()
        await asyncio.gather(*self._settling, return_exceptions=True)
        await asyncio.gather(self.market_feed.close(), self.user_feed.close())

    def _trade(
        self, order: Order, market: Market, fill: Fill, transaction: str, now_ms: int
    ) -> Trade:
        trade = Trade(
            trade_id=str(uuid.uuid4()),
            order_id=order.order_id,
            owner=order.owner,
            maker_address=order.maker,
            condition_id=market.condition_id,
            token_id=order.token_id,
            outcome=market.outcome_of(order.token_id),
            fill=fill,
            transaction_hash=transaction,
            status="MATCHED",
            matched_at_ms=now_ms,
            updated_at_ms=now_ms,
        )
        self.journal.trades[trade.trade_id] = trade
        return trade

    def _announce(
        self, order: Order, market: Market, entry: Entry, trades: list[Trade], now_ms: int
    ) -> None:
        """Tell the user channel, and move the trades on towards the chain."""
        matched = MatchedOrder(
            order=order,
            condition_id=market.condition_id,
            outcome=market.outcome_of(order.token_id),
            limit_e4=entry.limit_e4,
            size_matched_e6=entry.size_e6,
            trade_ids=tuple(entry.trade_ids),
            created_at_ms=now_ms,
        )
        self.journal.orders[order.order_id] = matched
        self._tell(order.owner, market.condition_id, order_event(matched))
        for trade in trades:
            self._tell(order.owner, market.condition_id, trade_event(trade))
        task = asyncio.get_running_loop().create_task(self._settle(trades))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle(self, trades: list[Trade]) -> None:
        for status, after_s in SETTLEMENT_STEPS:
            await asyncio.sleep(after_s)
            for trade in trades:
                trade.status, trade.updated_at_ms = status, self.now_ms()
                self._tell(trade.owner, trade.condition_id, trade_event(trade))
        self.notice.changed()

    def _announce_prices(
        self,
        market: Market,
        book: TokenBook,
        other: TokenBook,
        fills: list[Fill],
        transaction: str,
        now_ms: int,
    ) -> None:
        for fill in fills:
            book.last_trade_e4 = fill.price_e4
            other.last_trade_e4 = 10_000 - fill.price_e4
            for traded in (book, other):
                frame = frames.last_trade_frame(
                    market,
                    traded,
                    "BUY",
                    size_e6=fill.size_e6,
                    transaction_hash=transaction,
                    now_ms=now_ms,
                )
                self._send((traded.token_id,), frame)

    def _tell(self, owner: str, condition_id: str, text: str) -> None:
        for connection in self.user_feed.connections:
            # A user connection's `tokens` are the condition ids it asked for; none means all.
            if connection.owner == owner and (
                not connection.tokens or condition_id in connection.tokens
            ):
                connection.send(text)

    def _send(self, tokens: Iterable[str], text: str) -> None:
        for connection in self._readers(tokens):
            connection.send(text)

    def _readers(self, tokens: Iterable[str]) -> set[Connection]:
        return set().union(*(self.market_feed.readers(token) for token in tokens))

    def _books(self, token_id: str) -> tuple[Market, TokenBook, TokenBook]:
        market = self.by_token[token_id]
        first, second = market.books
        return (market, first, second) if first.token_id == token_id else (market, second, first)


def _mirrored(levels: Iterable[Level]) -> tuple[Level, ...]:
    return tuple((10_000 - price_e4, size_e6) for price_e4, size_e6 in levels)
