"""A naive venue for the fuzz target: a few markets, and frames as the real one writes them.

It shares no code with the feeder: books are plain dictionaries, the checksum is one `hashlib` call
over text. What it knows of every version (timestamp, hash) of a token's book is what a published
book is compared with.

Modelled, because real captures show it:
- the two tokens of a market mirror each other, and a change brings one entry of each;
- a match that touches several levels is several frames of one timestamp and one hash, that of the
  book after the last of them; then a `book` of the same version; the trade is announced last;
- one last trade price a market, in the hash before it is announced, and at times never announced;
- only the opening `book` has a tick size and a last trade price; only `GET /book` has all inputs;
- frames that come twice, at once or after others; a state that comes again within a millisecond;
- an empty side's best price is "0" or "1"; now and then a hash is that of the following version.
Not modelled: orders, fees, fills, rate limits, the settlement of a market.
"""

from __future__ import annotations

import hashlib
from random import Random
from typing import Final, TypeAlias

Side: TypeAlias = dict[int, tuple[int, str]]
"""Price in 1e-4 USD -> (size in 1e-6 shares, the level as JSON)."""
Version: TypeAlias = tuple[int, str]
"""(timestamp in epoch milliseconds, hash)."""

START_MS: Final = 1_757_908_860_000
TICKS_E4: Final = (100, 10)
LEVELS: Final = 9  # about, a side: real books have up to 99, but text costs time
PRICES: Final = tuple(f"{price / 10_000:.4f}".rstrip("0").rstrip(".") for price in range(10_001))


class Token:
    """One token's book and every version of it."""

    def __init__(self, token_id: str) -> None:
        self.token_id = token_id
        self.bids: Side = {}
        self.asks: Side = {}
        self.version: Version = (START_MS, "")
        self.versions: dict[Version, tuple[Side, Side]] = {}

    def put(self, side: str, price_e4: int, size_e6: int) -> None:
        levels = self.bids if side == "BUY" else self.asks
        if size_e6:
            text = f'{{"price":"{PRICES[price_e4]}","size":"{size_text(size_e6)}"}}'
            levels[price_e4] = (size_e6, text)
        else:
            levels.pop(price_e4, None)

    def bids_json(self) -> str:
        return ",".join([self.bids[price][1] for price in sorted(self.bids)])

    def asks_json(self) -> str:
        return ",".join([self.asks[price][1] for price in sorted(self.asks, reverse=True)])

    def best(self) -> str:
        bid = PRICES[max(self.bids)] if self.bids else "0"
        ask = PRICES[min(self.asks)] if self.asks else "1"
        return f'"best_bid":"{bid}", "best_ask":"{ask}"'


class Market:
    """Two mirrored tokens. `hidden_inputs`: its hashes are over a minimum size nobody announces."""

    def __init__(self, number: int, random: Random, hidden_inputs: bool) -> None:
        self.condition_id = f"0x{number:064x}"
        self.name = self.condition_id.encode()
        self.tokens = (Token(f"{7 * 10**75 + number}"), Token(f"{5 * 10**75 + number}"))
        self.hidden_inputs = hidden_inputs
        self.tick_e4 = TICKS_E4[number % 2]
        self.last_trade = random.choice(("", "0.500", "0.470"))
        self.middle_e4 = random.randrange(3_000, 7_000, self.tick_e4)
        for offset in range(1, LEVELS):
            self.put("BUY", self.middle_e4 - offset * self.tick_e4, some_size(random))
            self.put("SELL", self.middle_e4 + offset * self.tick_e4, some_size(random))
        self.commit(START_MS)

    def put(self, side: str, price_e4: int, size_e6: int) -> None:
        """A change of the first token, and its mirror image."""
        first, second = self.tokens
        first.put(side, price_e4, size_e6)
        second.put("SELL" if side == "BUY" else "BUY", 10_000 - price_e4, size_e6)

    def hash(self, token: Token, timestamp_ms: int) -> str:
        min_size = "15" if self.hidden_inputs else "5"
        text = (
            f'{{"market":"{self.condition_id}","asset_id":"{token.token_id}",'
            f'"timestamp":"{timestamp_ms}","hash":"","bids":[{token.bids_json()}],'
            f'"asks":[{token.asks_json()}],"min_order_size":"{min_size}",'
            f'"tick_size":"{PRICES[self.tick_e4]}","neg_risk":false,'
            f'"last_trade_price":"{self.last_trade}"}}'
        )
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def commit(self, timestamp_ms: int) -> None:
        """The books as they are now are the version of this moment."""
        for token in self.tokens:
            token.version = (timestamp_ms, self.hash(token, timestamp_ms))
            token.versions[token.version] = (token.bids.copy(), token.asks.copy())

    # ---- frames --------------------------------------------------------------------------------

    def entries(self, side: str, price_e4: int, size_e6: int) -> tuple[str, str]:
        """The two entries of one change, of the versions committed last."""
        first, second = self.tokens
        size = size_text(size_e6)
        mirrored = "SELL" if side == "BUY" else "BUY"
        return (
            f'{{"asset_id":"{first.token_id}", "price":"{PRICES[price_e4]}", "size":"{size}", '
            f'"side":"{side}", "hash":"{first.version[1]}", {first.best()}}}',
            f'{{"asset_id":"{second.token_id}", "price":"{PRICES[10_000 - price_e4]}", '
            f'"size":"{size}", "side":"{mirrored}", "hash":"{second.version[1]}", '
            f"{second.best()}}}",
        )

    def price_change(self, entries: tuple[str, str], timestamp_ms: int) -> bytes:
        return (
            f'{{"market":"{self.condition_id}", "price_changes":[{", ".join(entries)}], '
            f'"timestamp":"{timestamp_ms}", "event_type":"price_change"}}'
        ).encode()

    def later_book(self, token: Token) -> bytes:
        return (
            f'{{"market":"{self.condition_id}", "asset_id":"{token.token_id}", '
            f'"bids":[{token.bids_json()}], "asks":[{token.asks_json()}], '
            f'"hash":"{token.version[1]}", "timestamp":"{token.version[0]}", "event_type":"book"}}'
        ).encode()

    def opening_book(self, token: Token) -> str:
        return (
            f'{self._summary(token)},"tick_size":"{PRICES[self.tick_e4]}","event_type":"book",'
            f'"last_trade_price":"{self.last_trade}"}}'
        )

    def rest_book(self, token: Token) -> bytes:
        return (
            f'{self._summary(token)},"min_order_size":"5","tick_size":"{PRICES[self.tick_e4]}",'
            f'"neg_risk":false,"last_trade_price":"{self.last_trade}"}}'
        ).encode()

    def tick_size_change(self, token: Token, old_e4: int, timestamp_ms: int) -> bytes:
        return (
            f'{{"market":"{self.condition_id}", "asset_id":"{token.token_id}", '
            f'"old_tick_size":"{PRICES[old_e4]}", "new_tick_size":"{PRICES[self.tick_e4]}", '
            f'"timestamp":"{timestamp_ms}", "event_type":"tick_size_change"}}'
        ).encode()

    def last_trade_price(self, token: Token, price_e4: int, timestamp_ms: int) -> bytes:
        return (
            f'{{"market":"{self.condition_id}", "asset_id":"{token.token_id}", '
            f'"price":"{PRICES[price_e4]}", "size":"9.3", "fee_rate_bps":"0", "side":"BUY", '
            f'"timestamp":"{timestamp_ms}", "event_type":"last_trade_price", '
            f'"transaction_hash":"0x{timestamp_ms:064x}"}}'
        ).encode()

    def _summary(self, token: Token) -> str:
        timestamp_ms, digest = token.version
        return (
            f'{{"market":"{self.condition_id}","asset_id":"{token.token_id}",'
            f'"timestamp":"{timestamp_ms}","hash":"{digest}",'
            f'"bids":[{token.bids_json()}],"asks":[{token.asks_json()}]'
        )


class Venue:
    """Markets that change at random; `step` returns the frames that one moment brings."""

    def __init__(self, random: Random, *, hidden_inputs: bool = True) -> None:
        """`hidden_inputs`: one of the markets has some."""
        self._random = random
        self.now_ms = START_MS
        self.markets = [Market(n, random, hidden_inputs and n == 3) for n in (1, 2, 3)]
        self._announcements: list[tuple[int, bytes]] = []
        """(how many steps to wait, frame)."""
        self._said: set[tuple[str, int, int, int, str]] = set()
        self._said_ms = 0
        self._repeated: list[bytes] = []
        """Said again after the next step."""

    def opening(self) -> bytes:
        """The answer to a subscription: every book, in one array."""
        books = [market.opening_book(token) for market in self.markets for token in market.tokens]
        return f"[{','.join(books)}]".encode()

    def step(self) -> list[bytes]:
        """Time goes on a little and something happens in one market."""
        random = self._random
        self.now_ms += random.choice((0, 0, 1, 1, 2, 3, 5, 8, 20))
        market = random.choice(self.markets)
        chance = random.random()
        if chance < 0.84:
            frames = [self._change(market)]
        elif chance < 0.94:
            frames = self._match(market)
        elif chance < 0.945:
            frames = self._early_hash(market)
        elif chance < 0.95:
            frames = self._tick_size_change(market)
        elif chance < 0.96:
            frames = self._flicker(market)
        elif chance < 0.963:
            frames = self._empty_side(market)
        else:
            frames = [self._noise(market)]
        frames += self._repeated
        self._repeated = frames[:1] if 0.02 < chance < 0.03 else []
        if chance < 0.02:
            frames += frames  # the venue does say things twice, and not always at once
        return frames + self._due_announcements()

    def _due_announcements(self) -> list[bytes]:
        if not self._announcements:
            return []
        due = [frame for steps, frame in self._announcements if steps <= 0]
        self._announcements = [(n - 1, frame) for n, frame in self._announcements if n > 0]
        return due

    def _some_change(self, market: Market) -> tuple[str, int, int]:
        """Of the first token; it crosses nothing, and sizes repeat now and then."""
        random, (first, _) = self._random, market.tokens
        tick_e4 = market.tick_e4
        side = random.choice(("BUY", "SELL"))
        own, other = (first.bids, first.asks) if side == "BUY" else (first.asks, first.bids)
        if len(own) > random.randrange(5, 3 * LEVELS):
            return side, random.choice(tuple(own)), 0
        if own and random.random() < 0.4:
            return side, random.choice(tuple(own)), some_size(random)
        reach = random.randrange(1, 2 * LEVELS) * tick_e4
        if side == "BUY":
            price = (min(other) if other else market.middle_e4) - reach
        else:
            price = (max(other) if other else market.middle_e4) + reach
        return side, min(max(price, tick_e4), 10_000 - tick_e4), some_size(random)

    def _change(self, market: Market) -> bytes:
        change = self._some_change(market)
        side, price, _ = change
        first, _ = market.tokens
        other = first.asks if side == "BUY" else first.bids
        if other and (price >= min(other) if side == "BUY" else price <= max(other)):
            change = (side, price, 0)  # the edge of the grid: cross nothing
        if self._random.random() < 0.003:
            market.last_trade = f"{self._random.randrange(1, 1000) / 1000:.3f}"  # never announced
        market.put(*change)
        self._commit(market, [change])
        return market.price_change(self._shuffled(market.entries(*change)), self.now_ms)

    def _commit(self, market: Market, changes: list[tuple[str, int, int]]) -> None:
        """A new version, by these changes. The very same one twice within a millisecond nobody
        could tell from a frame that came twice, so time goes on first."""
        market.commit(self.now_ms)
        first, _ = market.tokens
        said = {(*change, *first.version) for change in changes}
        if said & self._said:
            self.now_ms += 1
            market.commit(self.now_ms)
            said = {(*change, *first.version) for change in changes}
        if self.now_ms != self._said_ms:
            self._said_ms, self._said = self.now_ms, set()
        self._said |= said

    def _shuffled(self, entries: tuple[str, str]) -> tuple[str, str]:
        return entries if self._random.random() < 0.5 else (entries[1], entries[0])

    def _match(self, market: Market) -> list[bytes]:
        """A taker eats up to three levels; what it leaves may rest."""
        random, (first, _) = self._random, market.tokens
        side = random.choice(("BUY", "SELL"))  # of the levels that are eaten
        levels = first.bids if side == "BUY" else first.asks
        eaten = sorted(levels, reverse=side == "BUY")[: random.randrange(1, 4)]
        if not eaten:
            return [self._change(market)]
        changes = [(side, price, 0) for price in eaten]
        if random.random() < 0.5:
            rest_of = max(levels[eaten[-1]][0] - 10_000 * random.randrange(1, 400), 10_000)
            changes[-1] = (side, eaten[-1], rest_of)
        elif random.random() < 0.6:
            changes.insert(0, ("SELL" if side == "BUY" else "BUY", eaten[-1], some_size(random)))
        market.last_trade = f"{eaten[-1] / 10_000:.3f}"
        for change in changes:
            market.put(*change)
        self._commit(market, changes)
        frames = [
            market.price_change(self._shuffled(market.entries(*change)), self.now_ms)
            for change in changes
        ]
        frames += [market.later_book(each) for each in market.tokens if random.random() < 0.8]
        announced = market.last_trade_price(first, eaten[-1], self.now_ms + 3)
        self._announcements.append((random.randrange(4), announced))
        return frames

    def _early_hash(self, market: Market) -> list[bytes]:
        """The first of two changes has the hash of the book after both."""
        frames, changes = [], []
        for _ in range(2):
            side, price, _ = self._some_change(market)
            market.put(side, price, 0)  # removals cross nothing
            changes.append((side, price, 0))
        timestamps = (self.now_ms, self.now_ms + 1)
        self.now_ms += 1
        for change, timestamp_ms in zip(changes, timestamps, strict=True):
            market.commit(timestamp_ms)
            frames.append(market.price_change(market.entries(*change), timestamp_ms))
        return frames

    def _flicker(self, market: Market) -> list[bytes]:
        """Within one millisecond a book is again as it was, by another change than before."""
        random, (first, _) = self._random, market.tokens
        free = [p for p in range(market.tick_e4, 10_000, market.tick_e4) if p not in first.bids]
        below = [p for p in free if not first.asks or p < min(first.asks)]
        if not below or len(first.bids) < 3:
            return [self._change(market)]
        price = random.choice(below[-2 * LEVELS :])
        gone = ("BUY", random.choice(tuple(first.bids)), 0)
        frames = []
        for change in (gone, ("BUY", price, some_size(random)), ("BUY", price, 0)):
            market.put(*change)
            self._commit(market, [change])
            frames.append(market.price_change(market.entries(*change), self.now_ms))
        return frames

    def _tick_size_change(self, market: Market) -> list[bytes]:
        old_e4 = market.tick_e4
        if old_e4 == TICKS_E4[-1]:
            return [self._noise(market)]
        market.tick_e4 = TICKS_E4[-1]
        self.now_ms += 1
        market.commit(self.now_ms)
        frames = [market.tick_size_change(each, old_e4, self.now_ms) for each in market.tokens]
        if self._random.random() < 0.7:
            frames += [market.later_book(each) for each in market.tokens]
        return frames

    def _empty_side(self, market: Market) -> list[bytes]:
        first, _ = market.tokens
        side = self._random.choice(("BUY", "SELL"))
        levels = first.bids if side == "BUY" else first.asks
        changes = [(side, price, 0) for price in tuple(levels)]
        for change in changes:
            market.put(*change)
        market.commit(self.now_ms)
        return [market.price_change(market.entries(*each), self.now_ms) for each in changes]

    def _noise(self, market: Market) -> bytes:
        return self._random.choice(
            (
                b"PONG",
                b"[]",
                f'{{"market":"{market.condition_id}","event_type":"new_market"}}'.encode(),
                f'{{"market":"{market.condition_id}","asset_id":"1","best_bid":"0.1",'
                f'"timestamp":"{self.now_ms}","event_type":"best_bid_ask"}}'.encode(),
                f'{{"market":"0x{99:064x}","asset_id":"1","bids":[],"asks":[],"hash":"",'
                f'"timestamp":"{self.now_ms}","event_type":"book"}}'.encode(),
            )
        )


def some_size(random: Random) -> int:
    """In 1e-6 shares, two decimals at most, mostly a number that was seen before."""
    return random.choice((5, 10, 100, 250)) * 1_000_000 + random.choice((0, 0, 250_000, 10_000))


def size_text(size_e6: int) -> str:
    """As the venue writes it."""
    whole, rest = divmod(size_e6, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole)
