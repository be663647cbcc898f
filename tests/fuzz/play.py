"""One round of the fuzz target: a venue, two damaged lines, the session table, and the verdict.

1. No bytes of a frame raise anything, and those of an answer nothing but ValueError.
2. Every book that is shown with a checksum is, level for level, the venue's at its version
   (timestamp, hash); one that is shown with less has best prices that the venue had.
3. What a market shows never goes back in the venue's time.
4. A round is a function of its seed and number alone; every damage draws from a random of its own,
   so that some can be left out (that is how a failure is made smaller).
5. After the damage has ended every market is shown again, by its checksum where that can be.
6. A calm round (nothing damaged) doubts no book, but for a change of its tick size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from random import Random
from typing import Final

from feeder.core.book.token_book import Trouble
from feeder.core.market.market_session import MarketSession
from feeder.core.market.session_table import BookRequest, SessionTable
from protocol.book import PUBLISHED_LEVELS_MAX, Book, Level, Proof
from protocol.fee import FeeSchedule
from protocol.market import MarketInfo, Outcome
from protocol.series import parse_series
from protocol.snapshot import BookSnapshot
from tests.fuzz.damage import DAMAGES
from tests.fuzz.venue import START_MS, Market, Side, Token, Venue
from venue.wire.market_channel import (
    Event,
    Malformed,
    Pong,
    UnknownEvent,
    decode_book,
    decode_frame,
)

FRAMES_A_ROUND: Final = 1_000
"""Then the damage ends."""
FRAMES_A_RECOVERY: Final = 500
"""At least; it is RECOVERY_STEPS in each of its two parts."""
RECOVERY_STEPS: Final = 150
RECOVERIES: Final = ((60, False), (600, True))
"""(a step in ms, of the markets whose hashes nobody can check): without its hash a frame of the
wrong time is believed, and holds the market up for as long as a venue's clock may be ahead."""
DAMAGED_SHARE: Final = 0.05
LATENCY_MS: Final = 30
UPKEEP_MS: Final = 50
"""As often at least as the shell sees to it."""
EARLIER_KEPT: Final = 64


class WrongBookError(AssertionError):
    """A book was shown that the venue never had."""


@dataclass
class Score:
    """What one or many rounds saw."""

    frames: int = 0
    rejected: int = 0
    shown: int = 0
    proven: int = 0
    requests: int = 0
    reconnects: int = 0
    troubles: dict[str, int] = field(default_factory=dict)

    def add(self, other: Score) -> None:
        for name in ("frames", "rejected", "shown", "proven", "requests", "reconnects"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, count in other.troubles.items():
            self.troubles[name] = self.troubles.get(name, 0) + count


class _Road:
    """Frames on their way to one line, or answers on their way to us."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.random = Random(name)
        self.count = 0
        self.waiting: deque[bytes] = deque()
        self.held: list[tuple[int, bytes]] = []
        """(deliver after so many more frames, frame)."""
        self.earlier: deque[bytes] = deque(maxlen=EARLIER_KEPT)


class Round:
    """See above. `without`: names of the damages to leave out. `decode` gives the same bytes the
    same events, as production does, so that the lines share what they make of them."""

    def __init__(
        self,
        seed: int,
        number: int,
        without: Collection[str] = (),
        table: SessionTable | None = None,
        decode: Callable[[bytes], Sequence[Event]] | None = None,
    ) -> None:
        self.name = f"{seed}/{number}"
        self.score = Score()
        self.damages: dict[str, str] = {}
        """By name: what was done to which frame, in order."""
        self._without = without
        self._random = Random(self.name)  # the harness's own: when, not what
        self._calm = number % 4 == 0
        self._damaging = not self._calm
        # That a market's hashes have unknown inputs shows in doubts only: not in a calm round.
        self._venue = Venue(Random(f"{self.name}/venue"), hidden_inputs=not self._calm)
        self._tokens = {t.token_id: (m, t) for m in self._venue.markets for t in m.tokens}
        self._lines = tuple(_Road(f"{self.name}/line{line}") for line in (0, 1))
        self._rest = _Road(f"{self.name}/rest")
        self._table = SessionTable([parse_series("btc-15m")]) if table is None else table
        self._decode = decode or lru_cache(EARLIER_KEPT)(decode_frame)
        self._kept_up_ms = 0
        self._requests: deque[tuple[int, BookRequest]] = deque()
        """(answer after so many more frames, request)."""
        self._shown: dict[str, BookSnapshot] = {}
        self._shown_since: dict[str, Proof] = {}
        """Condition ids of markets shown in the later half of a recovery, with the best proof."""

    def play(self) -> Score:
        """Raises what is wrong, with the frame's number in a note."""
        try:
            self._begin()
            while self.score.frames < FRAMES_A_ROUND:
                self._step()
            self._damaging = False
            for step_ms, hidden_inputs in RECOVERIES:
                for step in range(RECOVERY_STEPS):
                    self._venue.now_ms += step_ms
                    self._step()
                    if step == RECOVERY_STEPS // 2:
                        self._shown_since.clear()
                self._recovered(hidden_inputs)
        except Exception as error:
            error.add_note(f"round {self.name}, frame {self.score.frames}")
            raise
        return self.score

    # ---- the feeder's shell, without sockets ---------------------------------------------------

    @property
    def _now_ms(self) -> int:
        return self._venue.now_ms + LATENCY_MS

    def _begin(self) -> None:
        for market in self._venue.markets:
            self._table.follow(_info(market), START_MS)
        for line in (0, 1):
            self._connect(line)

    def _connect(self, line: int) -> None:
        self._lines[line].waiting.clear()
        self._lines[line].held.clear()
        self._table.connected(line, self._tokens, self._now_ms)
        self._take(line, self._venue.opening())

    def _step(self) -> None:
        random = self._random
        for frame in self._venue.step():
            for line in self._lines:
                line.waiting.append(frame)
        for number, line in enumerate(self._lines):
            while len(line.waiting) > (0 if number == 0 else 2):
                self._deliver(number, line.waiting.popleft())
        if self._damaging and random.random() < 0.002:
            self._reconnect(random.randrange(2))
        if random.random() < 0.2 or self._now_ms - self._kept_up_ms >= UPKEEP_MS:
            self._kept_up_ms = self._now_ms
            self._upkeep()
        self._answer_requests()

    def _deliver(self, number: int, frame: bytes) -> None:
        line = self._lines[number]
        due = [each for wait, each in line.held if wait <= 0]
        line.held = [(wait - 1, each) for wait, each in line.held if wait > 0]
        for each in (*self._damaged(frame, line), *due):
            self._take(number, each)

    def _damaged(self, frame: bytes, road: _Road) -> list[bytes]:
        road.count += 1
        road.earlier.append(frame)
        if not self._damaging or road.random.random() >= DAMAGED_SHARE:
            return [frame]
        name = f"{road.name}/{road.count}"
        random = Random(name)
        damage = random.choice(DAMAGES)
        late = random.random() < 0.1
        self.damages[name] = f"frame {self.score.frames}: {damage.__name__}{' late' * late}"
        if name in self._without:
            return [frame]
        frames = [
            each
            for each in damage(frame, list(road.earlier)[:-1], random)
            if not self._unnoticeable(each)
        ]
        if late:
            road.held += [(random.randrange(1, 12), each) for each in frames]
            return []
        return frames

    def _unnoticeable(self, payload: bytes) -> bool:
        """A whole book that the venue did not send, of a market whose hashes nobody can check."""
        return (
            b'"bids"' in payload
            and any(m.hidden_inputs and m.name in payload for m in self._venue.markets)
            and not any(payload in road.earlier for road in (*self._lines, self._rest))
        )

    def _take(self, line: int, payload: bytes) -> None:
        self.score.frames += 1
        table, now_ms = self._table, self._now_ms
        received_at_ns = now_ms * 1_000_000
        for event in self._decode(payload):
            if isinstance(event, Malformed):
                self.score.rejected += 1
                self._count(table.distrust(line, event, now_ms))
                continue
            if isinstance(event, Pong | UnknownEvent):
                continue
            applied = table.apply(line, event, received_at_ns)
            self._count(applied.troubles)
            self.score.rejected += len(applied.malformed)
            if applied.offer and applied.session is not None:
                self._show(applied.session)

    def _reconnect(self, line: int) -> None:
        self.score.reconnects += 1
        for session in self._table.lost(line, self._tokens, self._now_ms):
            self._show(session)
        self._connect(line)

    def _upkeep(self) -> None:
        due = self._table.take_due(self._now_ms)
        self._count(due.troubles)
        for request in due.requests:
            self._requests.append((self._random.randrange(6), request))
        for line in sorted({line for line, _ in due.replace}):
            self._reconnect(line)
        for session in due.dark:
            self._show(session)

    def _answer_requests(self) -> None:
        for _ in range(len(self._requests)):
            wait, request = self._requests.popleft()
            if wait:
                self._requests.append((wait - 1, request))
            else:
                self._answer(request)

    def _answer(self, request: BookRequest) -> None:
        self.score.requests += 1
        now_ms = self._now_ms
        market, token = self._tokens[request.token_id]
        answers = self._damaged(market.rest_book(token), self._rest)
        try:
            event = decode_book(answers[0]) if answers else None
        except ValueError:
            event = None
        if event is None:
            self._table.request_failed(request, now_ms)
            return
        try:
            outcome = self._table.take_answer(
                request, event, (now_ms - LATENCY_MS) * 1_000_000, now_ms
            )
        except ValueError:
            return
        self._count(outcome.troubles)
        if outcome.offer:
            self._show(request.session)

    def _count(self, troubles: Collection[Trouble]) -> None:
        for trouble in troubles:
            self.score.troubles[trouble.value] = self.score.troubles.get(trouble.value, 0) + 1
            if self._calm and trouble is not Trouble.TICK_SIZE_CHANGE:
                raise AssertionError(f"doubt without a cause: {trouble.value}")

    # ---- the verdict ---------------------------------------------------------------------------

    def _show(self, session: MarketSession) -> None:
        snapshot = self._table.snapshot(session, self._now_ms * 1_000_000, 1)
        if snapshot is None:
            return
        if snapshot.proof is Proof.NONE:
            if any(book.bids or book.asks for book in snapshot.books):
                raise WrongBookError("a book was shown that nothing proves")
            return
        self.score.shown += 1
        before = self._shown.get(session.info.condition_id)
        if before is not None:
            if snapshot.sequence <= before.sequence:
                raise WrongBookError(f"sequence {snapshot.sequence} after {before.sequence}")
            if snapshot.venue_timestamp_ms < before.venue_timestamp_ms:
                raise WrongBookError("an older version was shown after a newer one")
        proven = snapshot.proof is Proof.CHECKSUM
        condition_id = session.info.condition_id
        self._shown[condition_id] = snapshot
        best = self._shown_since.get(condition_id, Proof.NONE)
        self._shown_since[condition_id] = max(best, snapshot.proof, key=lambda each: each.rank)
        self.score.proven += proven
        for book in snapshot.books:
            (_check_levels if proven else _check_top)(book, self._tokens[book.token_id][1])

    def _recovered(self, hidden_inputs: bool) -> None:
        for market in self._venue.markets:
            if market.hidden_inputs and not hidden_inputs:
                continue
            wanted = Proof.TOP if market.hidden_inputs else Proof.CHECKSUM
            proof = self._shown_since.get(market.condition_id, Proof.NONE)
            if proof.rank < wanted.rank:
                (session,) = [s for s in self._table if s.info.condition_id == market.condition_id]
                troubles = [[book.trouble for book in view.pair] for view in session.views]
                raise AssertionError(
                    f"market {market.condition_id[-1]} has not recovered: {proof.value}, {troubles}"
                )


def _check_levels(book: Book, token: Token) -> None:
    sides = token.versions.get((book.timestamp_ms, book.hash))
    if sides is None:
        raise WrongBookError(f"no such version: {book}")
    if (book.bids, book.asks) != (_best_first(sides[0], True), _best_first(sides[1], False)):
        raise WrongBookError(f"ours: {book}\nthe venue's: {sides}")


def _check_top(book: Book, token: Token) -> None:
    """Without the hash only the venue's word for the best prices stands, of this very version
    where that is one, else of any that it had."""
    sides = token.versions.get((book.timestamp_ms, book.hash))
    ours = (book.best_bid_e4, book.best_ask_e4)
    possible = (sides,) if sides is not None else tuple(token.versions.values())
    if all(ours != (max(b, default=None), min(a, default=None)) for b, a in possible):
        raise WrongBookError(f"best prices {ours} of version {book.timestamp_ms}, {book.hash}")


def _best_first(side: Side, descending: bool) -> tuple[Level, ...]:
    prices = sorted(side, reverse=descending)[:PUBLISHED_LEVELS_MAX]
    return tuple([(price, side[price][0]) for price in prices])


def _info(market: Market) -> MarketInfo:
    first, second = market.tokens
    return MarketInfo(
        condition_id=market.condition_id,
        slug=f"btc-updown-15m-{market.condition_id[-1]}",
        series="btc-15m",
        outcomes=(
            Outcome(name="Up", token_id=first.token_id),
            Outcome(name="Down", token_id=second.token_id),
        ),
        start_ms=START_MS - 60_000,
        end_ms=START_MS + 840_000,
        tick_size_e4=market.tick_e4,
        min_order_size_e6=5_000_000,
        fee=FeeSchedule(rate=Decimal("0.07"), exponent=1),
        neg_risk=False,
        accepting=True,
    )
