"""What goes wrong at the simulated venue, how often, and when: seeded, and changeable at any time.

1. Everything is off by default: a venue that nobody has set up to fail does not fail.
2. Chances of different faults are drawn from different streams, each made of the seed and the
   fault's name: the n-th chance of a fault comes out the same for the same seed, whatever other
   faults are on. (Which order is the n-th to arrive is for the callers to decide.)
3. What was done to whom is counted (`Chance.injected`), when it is done.

In process `venue.faults.drop_after = 0.5`; over HTTP `POST /sandbox/faults {"drop_after": 0.5}`,
which replaces all of them: what is not named is off, so `{}` ends every fault and every window.
What has befallen a connection (it is frozen, or half-open) stays with it until it ends.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Annotated, Final, TypeAlias

import msgspec

Rate: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]
Milliseconds: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=86_400_000)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class Faults(msgspec.Struct, kw_only=True):
    """Chances from 0 to 1 and durations. A duration without its chance does nothing."""

    # ---- POST /order, in the order in which they are tried
    restart: Rate = 0.0
    """The matching engine restarts: 425 to this order, and for `restart_ms` to every order and
    every look-up of orders; for `post_only_ms` after that 503 with the code of post-only mode."""
    restart_ms: Milliseconds = 0
    post_only_ms: Milliseconds = 0
    disabled: Rate = 0.0
    """Trading is disabled: 503 to this order, and to all others for `disabled_ms`."""
    disabled_ms: Milliseconds = 0
    cancel_only: Rate = 0.0
    """503 with a code alone to this order, and to all others for `cancel_only_ms`."""
    cancel_only_ms: Milliseconds = 0
    blocked: Rate = 0.0
    """Cloudflare's page with status 403 to this order, and to all others for `blocked_ms`."""
    blocked_ms: Milliseconds = 0
    rate_limited: Rate = 0.0
    """429 to this order, and to all others for `rate_limited_ms`."""
    rate_limited_ms: Milliseconds = 0
    drop_before: Rate = 0.0
    """The connection is dropped; the order never reaches the engine."""
    late_landing: Rate = 0.0
    """The connection is dropped at once; the order reaches the engine `late_landing_ms` later."""
    late_landing_ms: Milliseconds = 0
    delay_before: Rate = 0.0
    """The order waits `delay_before_ms` before it reaches the engine."""
    delay_before_ms: Milliseconds = 0
    no_match: Rate = 0.0
    """The engine finds nothing to match with, whatever the book shows (FAK only)."""
    delayed: Rate = 0.0
    """The answer is status `delayed` without amounts; the order is matched `delayed_ms` later."""
    delayed_ms: Milliseconds = 0
    unmatched: Rate = 0.0
    """Of the delayed orders: those that are never matched."""
    partial: Rate = 0.0
    """A part of the amount is matched, a tenth to nine tenths of it (FAK only)."""
    unit_short: Rate = 0.0
    """A match that spends the whole amount takes 1e-6 USD less, and says so."""
    null_lists: Rate = 0.0
    """The answer to a match has null for no hashes, and no `errorMsg`. (The official client 0.14.0
    refuses such an answer. Without this fault the list is empty, which it takes.)"""
    delay_after: Rate = 0.0
    """The answer comes `delay_after_ms` after the match."""
    delay_after_ms: Milliseconds = 0
    drop_after: Rate = 0.0
    """The connection is dropped after the match: the answer is lost."""
    error_after: Rate = 0.0
    """The answer after the match is a 500."""
    phantom_lock_after: Count = 0
    """After this many matched FAK orders of a wallet: "not enough balance / allowance", until
    `phantom_lock_ms` after its next GET /balance-allowance/update. 0: never."""
    phantom_lock_ms: Milliseconds = 0

    # ---- settlement
    failed_trade: Rate = 0.0
    """A trade goes MATCHED, RETRYING, FAILED: shares, money and fee go back."""
    settle_ms: Milliseconds = 0
    """Every step of every trade's settlement takes this much longer."""

    # ---- look-ups
    lag_ms: Milliseconds = 0
    """Orders and trades are shown as they were this long ago."""
    read_error: Rate = 0.0
    """A look-up of orders, trades or balances is answered 500."""
    gamma_lag_ms: Milliseconds = 0
    """Gamma shows a resolution this much later than the CLOB."""

    # ---- the user channel, per event
    user_cut: Rate = 0.0
    """The connections that would have got the event are cut instead."""
    user_lost: Rate = 0.0
    user_duplicated: Rate = 0.0
    user_reordered: Rate = 0.0
    """The event is sent `user_reordered_ms` later, after those that follow meanwhile; with 0 after
    those of the same moment."""
    user_reordered_ms: Milliseconds = 0

    # ---- the market channel, per frame and connection (see `market_faults` for scripted ones)
    market_lost: Rate = 0.0
    """A `price_change` is not sent."""
    market_duplicated: Rate = 0.0
    """A `price_change` is sent twice, the second one up to `market_duplicated_ms` later."""
    market_duplicated_ms: Milliseconds = 0
    market_reordered: Rate = 0.0
    """A `price_change` is sent after the market's next frame."""
    market_corrupted: Rate = 0.0
    """A size in a `price_change` is wrong; the hash is that of the truth."""
    market_wrong_hash: Rate = 0.0
    """A hash in a `price_change` is wrong."""
    market_stale_book: Rate = 0.0
    """The book after a `price_change` is sent, too, but only after the market's next frame."""
    market_no_book: Rate = 0.0
    """The books after a subscribe, or one after a new tick size, are not sent."""
    market_late_book: Rate = 0.0
    """They are sent after the market's next frame, and older than it."""
    late_trade_ms: Milliseconds = 0
    """Every `last_trade_price` is sent this much later; the hashes contain its price at once."""

    market_hash_ahead: Rate = 0.0
    """A hash in a `price_change` is that of the book after the next one, too, which follows. Drawn
    once a frame: it is the same on all connections."""

    # ---- the market channel, per connection and second
    market_frozen: Rate = 0.0
    """No data any more, but PING is answered."""
    market_half_open: Rate = 0.0
    """Nothing any more, and no end either."""
    market_cut: Rate = 0.0
    """The connection ends without a closing handshake."""
    market_cut_midframe: Rate = 0.0
    """The connection is reset in the middle of its next frame."""
    market_closed_1009: Rate = 0.0
    """The connection is closed with code 1009, message too big."""

    # ---- GET /book, per request
    book_hang: Rate = 0.0
    """No answer; the connection is dropped after a minute."""
    book_error: Rate = 0.0
    """A 500."""
    book_corrupted: Rate = 0.0
    """A size is wrong; the hash is that of the truth."""
    book_lag_ms: Milliseconds = 0
    """The book is as it was this long ago, but not as before this was set."""

    # ---- the end
    split: Rate = 0.0
    """Of the replayed markets: those that are resolved half and half. Drawn when a market's books
    appear."""
    revert: Rate = 0.0
    """A transaction (a redemption) is reverted by the chain."""
    receipt_ms: Milliseconds = 0
    """A transaction is mined, and takes effect, this much later."""
    auto_redeem: Rate = 0.0
    """Of the wallets with shares in a resolved market: those that the venue pays out by itself."""
    auto_redeem_ms: Milliseconds = 0
    """It does so this much after the resolution."""


HABITS: Final = Faults(null_lists=0.5, unit_short=0.5)
"""What the real venue does and may do at any time; how often is made up."""
NAMES: Final = tuple(field.name for field in msgspec.structs.fields(Faults))
_SEED: Final = "seed"


class InvalidFaultsError(ValueError):
    """The request does not describe faults; the text says what is wrong with it."""


class Chance:
    """Draws, open windows and counts. One a venue, kept when its faults change."""

    def __init__(self, seed: int = 0) -> None:
        self.injected: Counter[str] = Counter()
        """What was done so far, by the fault's name."""
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """Begin every stream again from this seed."""
        self.seed = seed
        self._streams: dict[str, Random] = {}
        self._until_ms: dict[str, int] = {}

    def hit(self, name: str, rate: float) -> bool:
        """Draw once from the fault's own stream, and count a hit."""
        hit = self.draw(name, rate)
        if hit:
            self.injected[name] += 1
        return hit

    def draw(self, name: str, rate: float) -> bool:
        """Draw once from the fault's own stream, for a caller who counts it when it is done."""
        return self.stream(name).random() < rate

    def fraction(self, name: str) -> float:
        """How much of something, from a tenth to nine tenths."""
        return self.stream(f"{name}/fraction").uniform(0.1, 0.9)

    def in_window(self, name: str, rate: float, duration_ms: int, now_ms: int) -> bool:
        """Whether the fault's window is open at `now_ms`; if not, a hit opens one.

        A hit with no duration is about this one request only.
        """
        if self.open(name, now_ms):
            self.injected[name] += 1
            return True
        if not self.hit(name, rate):
            return False
        self._until_ms[name] = now_ms + duration_ms
        return True

    def open(self, name: str, now_ms: int) -> bool:
        """Whether the fault's window is open, without drawing."""
        return now_ms < self._until_ms.get(name, 0)

    def closed_within(self, name: str, duration_ms: int, now_ms: int) -> bool:
        """Whether the fault's window closed at most `duration_ms` ago."""
        closed_ms = self._until_ms.get(name)
        return closed_ms is not None and closed_ms <= now_ms < closed_ms + duration_ms

    def close_windows(self) -> None:
        """End everything that was to last."""
        self._until_ms.clear()

    def stream(self, name: str) -> Random:
        """The fault's own source of randomness."""
        stream = self._streams.get(name)
        if stream is None:
            # A text seeds by its SHA-512: the same in every process, unlike `hash`.
            stream = self._streams[name] = Random(f"{self.seed}/{name}")
        return stream


def parse_faults(body: bytes) -> tuple[Faults, int | None]:
    """The body of POST /sandbox/faults: (faults, seed or None to go on). Raises InvalidFaultsError.

    With a seed every stream begins again.
    """
    try:
        wanted = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidFaultsError(f"not JSON: {error}") from error
    if not isinstance(wanted, dict):
        raise InvalidFaultsError("not a JSON object")
    unknown = sorted(wanted.keys() - {*NAMES, _SEED})
    if unknown:
        raise InvalidFaultsError(
            f"unknown faults: {', '.join(unknown)}; there are: {', '.join((*NAMES, _SEED))}"
        )
    seed = wanted.pop(_SEED, None)
    if seed is not None and type(seed) is not int:
        raise InvalidFaultsError("seed is not an integer")
    try:
        return msgspec.convert(wanted, Faults), seed
    except msgspec.ValidationError as error:
        raise InvalidFaultsError(str(error)) from error
