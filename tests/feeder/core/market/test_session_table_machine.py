"""A market on two lines at a naive venue, and everything that may go wrong on the way.

1. What is shown is, level for level, the venue's at its version, proven by checksum, and no token's
   version ever goes back.
2. A token is looked up at most every REQUEST_WAIT_MIN_MS.
3. A line that receives nothing while the other one moves is named for replacement in time.
4. When nothing goes wrong any more, the market is shown again, up to date, in bounded time.
5. A market in which upkeep says that nothing is due is one in which it would find nothing, and
   leave all as it is.

A request's answer may lag, but is never of the middle of a millisecond: when both lines are new,
nobody could tell which of its versions came first.
"""

from __future__ import annotations

import pickle
from collections import deque
from functools import lru_cache
from random import Random
from unittest.mock import patch

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from feeder.core.market.book_request_schedule import REQUEST_WAIT_MIN_MS
from feeder.core.market.market_session import LINES, MarketSession
from feeder.core.market.session_table import BookRequest, Due
from protocol.book import Proof
from protocol.snapshot import BookSnapshot
from tests.fuzz.venue import Venue, Version
from tests.support.session_bench import Bench
from venue.wire.market_channel import Malformed, Pong, UnknownEvent, decode_frame

UPKEEP_MS = 50
COMPARED_EVERY = 3
"""How many times upkeep takes its short way for one time that it must look at everything."""
RECONNECT_MS = 150
RECOVERY_MS = 25_000
"""The longest wait between two requests, twice, and what a replacement takes."""

FATES = st.sampled_from(["comes", "comes", "comes", "lost", "twice", "late"])
ANSWERS = st.sampled_from(["now", "now", "slow", "lagging", "failing"])
LINE = st.sampled_from(range(LINES))


class Line:
    """What is on its way to one line."""

    def __init__(self) -> None:
        self.frames: deque[tuple[int, bytes]] = deque()
        """(when it arrives, frame)."""
        self.connected = False
        self.frozen = False
        self.reconnects_ms = 0

    def put(self, at_ms: int, frame: bytes) -> None:
        if self.connected and not self.frozen:
            at_ms = max(at_ms, self.frames[-1][0] if self.frames else 0)  # TCP keeps the order
            self.frames.append((at_ms, frame))


class TwoLines(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.random = Random(0)
        self.venue = Venue(self.random, hidden_inputs=False)
        del self.venue.markets[0], self.venue.markets[1]  # one is enough, and has a tick of 0.01
        self.bench = Bench(*self.venue.markets)
        self.lines = [Line() for _ in range(LINES)]
        self.decode = lru_cache(64)(decode_frame)
        self.requests: deque[tuple[int, BookRequest, bytes | None]] = deque()
        """(when it is answered, request, answer)."""
        self.answers = "now"
        self.upkeeps = 0
        self.asked_ms: dict[str, int] = {}
        self.history: dict[str, list[Version]] = {}
        self.place: dict[str, int] = dict.fromkeys(self.bench.tokens, 0)
        self.past_answers: dict[str, deque[tuple[int, bytes]]] = {
            token: deque(maxlen=5) for token in self.bench.tokens
        }
        """(millisecond, answer)."""
        self._remember()
        for line in range(LINES):
            self._connect(line, with_books=True)

    # ---- what happens at the venue

    @rule(
        seed=st.integers(0, 10_000),
        steps=st.integers(1, 5),
        fates=st.tuples(FATES, FATES),
        latency_ms=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    )
    def something_happens(
        self, seed: int, steps: int, fates: tuple[str, str], latency_ms: tuple[int, int]
    ) -> None:
        self.random.seed(seed)
        self.venue.now_ms = max(self.venue.now_ms, self.bench.now_ms + 1)
        for _ in range(steps):
            frames = self.venue.step()
            self._remember()
            for line, fate in enumerate(fates):
                self._send(line, fate, frames, latency_ms[line])
        self._pass_ms(self.venue.now_ms - self.bench.now_ms)

    def _send(self, line: int, fate: str, frames: list[bytes], latency_ms: int) -> None:
        at_ms = self.venue.now_ms + latency_ms + (700 if fate == "late" else 0)
        if fate != "lost":
            for frame in frames * 2 if fate == "twice" else frames:
                self.lines[line].put(at_ms, frame)

    def _remember(self) -> None:
        for token in self.bench.market.tokens:
            known = self.history.setdefault(token.token_id, [])
            new = [each for each in token.versions if each not in known]
            known += new
            if known[-1] != token.version:
                known.append(token.version)  # again
            answers = self.past_answers[token.token_id]
            if answers and answers[-1][0] == token.version[0]:
                answers.pop()
            answers.append((token.version[0], self.bench.market.rest_book(token)))

    # ---- what goes wrong

    @rule(line=LINE)
    def a_line_freezes(self, line: int) -> None:
        self.lines[line].frozen = True
        self.lines[line].frames.clear()

    @rule(line=LINE)
    def a_line_is_lost(self, line: int) -> None:
        self._lose(line)

    @rule(answers=ANSWERS)
    def looks_are_answered_otherwise(self, answers: str) -> None:
        self.answers = answers

    @precondition(lambda self: not all(line.connected for line in self.lines))
    @rule(with_books=st.booleans())
    def lines_are_connected(self, with_books: bool) -> None:
        for line in range(LINES):
            if not self.lines[line].connected:
                self._connect(line, with_books=with_books)

    def _lose(self, line: int) -> None:
        self.lines[line].connected = False
        self.lines[line].frames.clear()
        self.lines[line].reconnects_ms = self.bench.now_ms + RECONNECT_MS
        self.bench.table.lost(line, self.bench.tokens, self.bench.now_ms)

    def _connect(self, line: int, *, with_books: bool) -> None:
        self.lines[line].connected, self.lines[line].frozen = True, False
        self.bench.table.connected(line, self.bench.tokens, self.bench.now_ms)
        if with_books:
            self.lines[line].put(self.bench.now_ms + 20, self.bench.opening())

    # ---- time

    @rule(ms=st.sampled_from([1, 20, 50, 300, 1_000, 3_000]))
    def time_passes(self, ms: int) -> None:
        self._pass_ms(ms)

    def _pass_ms(self, ms: int) -> None:
        until_ms = self.bench.now_ms + ms
        while self.bench.now_ms < until_ms:
            self.bench.now_ms = min(self.bench.now_ms + UPKEEP_MS, until_ms)
            for line in range(LINES):
                self._deliver(line)
            self._answer()
            self._upkeep()

    def _deliver(self, line: int) -> None:
        frames, now_ms = self.lines[line].frames, self.bench.now_ms
        while frames and frames[0][0] <= now_ms:
            for event in self.decode(frames.popleft()[1]):
                assert not isinstance(event, Malformed)
                if not isinstance(event, UnknownEvent | Pong):
                    applied = self.bench.table.apply(line, event, now_ms * 1_000_000)
                    assert applied.malformed == ()
                    if applied.offer:
                        self._show()

    def _upkeep(self) -> None:
        now_ms = self.bench.now_ms
        due = self._take_due()
        for request in due.requests:
            if request.token_id in self.asked_ms:
                assert now_ms - self.asked_ms[request.token_id] >= REQUEST_WAIT_MIN_MS
            self.asked_ms[request.token_id] = now_ms
            past = self.past_answers[request.token_id]
            _, body = past[0] if self.answers == "lagging" else past[-1]
            wait_ms = 900 if self.answers in ("slow", "failing") else 0
            self.requests.append(
                (now_ms + wait_ms, request, None if self.answers == "failing" else body)
            )
        for number in {line for line, _ in due.replace}:
            self._lose(number)
        for number, line in enumerate(self.lines):
            if not line.connected and now_ms >= line.reconnects_ms > 0:
                self._connect(number, with_books=True)

    def _take_due(self) -> Due:
        table, session, now_ms = self.bench.table, self.bench.session, self.bench.now_ms
        self.upkeeps += 1
        if self.upkeeps % COMPARED_EVERY or table._troubles or not session.nothing_due(now_ms):
            return table.take_due(now_ms)
        before = pickle.dumps(session)
        with patch.object(MarketSession, "nothing_due", return_value=False):
            due = table.take_due(now_ms)
        for found in msgspec.structs.astuple(due):
            assert not found, f"upkeep would have missed it: {due}"
        assert pickle.dumps(session) == before, "upkeep would have changed it"
        return due

    def _answer(self) -> None:
        now_ms = self.bench.now_ms
        for each in tuple(self.requests):
            at_ms, request, body = each
            if at_ms <= now_ms:
                self.requests.remove(each)
                if body is None:
                    self.bench.table.request_failed(request, now_ms)
                elif self.bench.answer(request, body).offer:
                    self._show()

    # ---- what is shown

    @invariant()
    def what_is_shown_is_true(self) -> None:
        self._show()

    def _show(self) -> BookSnapshot | None:
        snapshot = self.bench.show()
        if snapshot is None or snapshot.proof is Proof.NONE:
            return None
        assert snapshot.proof is Proof.CHECKSUM
        for book in snapshot.books:
            history, place = self.history[book.token_id], self.place[book.token_id]
            version = book.timestamp_ms, book.hash
            assert version in history[place:], "a version went back"
            self.place[book.token_id] = history.index(version, place)
        return snapshot

    @invariant()
    def a_line_that_falls_silent_is_found(self) -> None:
        for number, line in enumerate(self.lines):
            for token_id, (first, _) in self.bench.session.views[number].behind.items():
                late_ms = self.bench.now_ms - first[1]
                assert late_ms <= UPKEEP_MS, f"line {number} is late with {token_id}: {line}"

    # ---- the end

    def teardown(self) -> None:
        """Nothing goes wrong any more, but what is frozen stays so until it is replaced."""
        self.answers = "now"
        for line in self.lines:
            line.reconnects_ms = max(line.reconnects_ms, self.bench.now_ms)
        until_ms = self.bench.now_ms + RECOVERY_MS
        while self.bench.now_ms < until_ms:
            self.venue.now_ms = self.bench.now_ms
            frame = self.venue._change(self.bench.market)
            self._remember()
            for line in self.lines:
                line.put(self.bench.now_ms, frame)
            self._pass_ms(250)
            self._show()
        assert all(view.proven for view in self.bench.session.views)
        assert not any(line.frozen for line in self.lines)
        assert self.bench.is_up_to_date()


TestTwoLines = TwoLines.TestCase
TestTwoLines.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
