"""All books of a recording decided again, with one memory: what the code at hand answers to them.

Not what was logged: several workers shared the books then, each with a memory of its own, and a
book that a newer one displaced was seen by nobody. But of two versions of the code it shows on the
same recording whether they answer alike, also where nothing is bought.

Each is asked at the moment that it was published, under the newest configuration of its account
that stands before it in the recording.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Final

import msgspec

from backtest.replay.answers import CannotAskError, DecidedTrade, Strategies, asked_again
from backtest.replay.history import BookRead, ConfigurationRead
from functions.core.configuration import Configuration, ConfigurationRow
from functions.core.fencing import MARKETS_MAX, Fence
from functions.core.hold import HoldReason, hold
from functions.core.market_memories import MarketMemories
from functions.core.trade import Trade
from protocol.snapshot import BookSnapshot
from strategies.interface import Hold, Strategy
from strategies.view import MarketView

ACCOUNTS_MAX: Final = 100
ENDED_KEPT_MS: Final = 60_000
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class AccountAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """What one account answers to all books."""

    account: str
    strategy: str
    versions: int
    """Of its configuration, in the recording."""
    books: int
    """That it was asked about."""
    signals: int
    holds: dict[str, int]
    """By reason, the most frequent first."""
    not_asked: int
    """Books for which it could not be asked, `why_not` says why."""
    why_not: str
    digest: str
    """Of all answers, in order: the same for the same."""


class _Asked:
    """One account, as far as the recording was read."""

    def __init__(self) -> None:
        self.row: ConfigurationRow | None = None
        self.asks: tuple[type[Strategy], Configuration] | None = None
        self.versions = set[int]()
        self.books = self.signals = self.not_asked = 0
        self.holds = Counter[str]()
        self.why_not = ""
        self.digest = hashlib.blake2b(digest_size=8)


class AllBooks:
    """Given all books and configurations of a recording in order, `result` says what came out."""

    def __init__(self, strategies: Strategies) -> None:
        self._strategies = strategies
        self._accounts: dict[str, _Asked] = {}
        self._fence = Fence()
        self._memories = MarketMemories()
        self._ends_ms: dict[str, int] = {}
        self.superseded = 0
        """Books that came after a newer one of their market."""
        self.before_any = 0
        """Books that came before the first configuration of any account."""

    def on_configuration(self, read: ConfigurationRead) -> None:
        """A version comes into force."""
        account = self._accounts.get(read.account)
        if account is None:
            if len(self._accounts) >= ACCOUNTS_MAX:
                return
            account = self._accounts[read.account] = _Asked()
        account.versions.add(read.row.version)
        # Older ones come, too: a recorder that was away reads them later.
        if account.row is not None and read.row.version <= account.row.version:
            return
        account.row = read.row
        try:
            configuration = self._strategies.configuration(read.row)
            account.asks = self._strategies.strategy(read.row.strategy), configuration
        except CannotAskError as error:
            account.asks, account.why_not = None, str(error)

    def on_book(self, read: BookRead) -> None:
        """Ask every account."""
        snapshot = read.snapshot
        if not self._fence.admits(snapshot, read.at_ns // 1_000_000):
            self.superseded += 1
            return
        self._forget_ended(snapshot, snapshot.published_at_ns // 1_000_000)
        self._memories.note(snapshot)
        if not self._accounts:
            self.before_any += 1
            return
        now_ms = snapshot.published_at_ns // 1_000_000
        view = self._memories.view(snapshot, now_ms)
        for account in self._accounts.values():
            _ask(account, snapshot, view, now_ms)

    def result(self) -> list[AccountAnswers]:
        """By account, in the order of their names."""
        return [
            AccountAnswers(
                account=name,
                strategy=each.row.strategy if each.row is not None else "",
                versions=len(each.versions),
                books=each.books,
                signals=each.signals,
                holds=dict(sorted(each.holds.items(), key=lambda item: (-item[1], item[0]))),
                not_asked=each.not_asked,
                why_not=each.why_not,
                digest=each.digest.hexdigest(),
            )
            for name, each in sorted(self._accounts.items())
        ]

    def _forget_ended(self, snapshot: BookSnapshot, now_ms: int) -> None:
        market = snapshot.market
        if market.condition_id in self._ends_ms:
            return
        for condition_id, end_ms in list(self._ends_ms.items()):
            if end_ms + ENDED_KEPT_MS < now_ms:
                self._forget(condition_id)
        if len(self._ends_ms) >= MARKETS_MAX:
            self._forget(next(iter(self._ends_ms)))
        self._ends_ms[market.condition_id] = market.end_ms

    def _forget(self, condition_id: str) -> None:
        self._memories.forget(condition_id)
        del self._ends_ms[condition_id]


def digest_of_all(accounts: list[AccountAnswers]) -> str:
    """One word for all of them: equal where every account answers the same to every book."""
    digest = hashlib.blake2b(digest_size=8)
    for each in accounts:
        digest.update(f"{each.account} {each.digest}\n".encode())
    return digest.hexdigest()


def _ask(account: _Asked, snapshot: BookSnapshot, view: MarketView | None, now_ms: int) -> None:
    if account.asks is None:
        account.not_asked += 1
        return
    strategy, configuration = account.asks
    account.books += 1
    try:
        answer = asked_again(snapshot, view, now_ms, strategy, configuration)
    except KeyboardInterrupt:  # of whoever waits for the replay
        raise
    except BaseException:  # noqa: BLE001 - a strategy may raise anything; a worker holds then
        answer = hold(HoldReason.STRATEGY_ERROR)
    account.digest.update(
        b"%s %d:%d %s\n"
        % (
            snapshot.market.condition_id.encode(),
            snapshot.epoch,
            snapshot.sequence,
            _said(answer),
        )
    )
    if isinstance(answer, Trade):
        account.signals += 1
    else:
        account.holds[answer.reason.value] += 1


def _said(answer: Trade | Hold) -> bytes:
    return _encode(DecidedTrade.of(answer)) if isinstance(answer, Trade) else answer.reason.encode()
