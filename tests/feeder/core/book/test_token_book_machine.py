"""A hypothesis machine: a model venue, two lines that fail in every way, `GET /book` that lags.

Whatever happens to the frames: a book that says CHECKSUM is the venue's book of that version. And
once nothing fails any more, a doubt ends, and both books are the venue's present one.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from feeder.core.book.checksum import BookChecksum
from feeder.core.book.token_book import CHANGES_BUFFERED_MAX, SnapshotResult, TokenBook, Trouble
from protocol.book import Proof
from tests.support.market_channel_frames import DOWN, UP
from tests.support.naive_book import FAR, INFO, Change, Frame, Venue
from venue.wire.market_channel import BookEvent, WireLevel

Message: TypeAlias = list[Frame] | BookEvent
"""A `price_change` frame, or a `book`."""

LINES = st.integers(0, 1)
# Few prices and sizes: states recur, levels are hit again.
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("BUY"), st.sampled_from(["0.48", "0.49", "0.5"])),
        st.tuples(st.just("SELL"), st.sampled_from(["0.51", "0.52", "0.53"])),
    ).flatmap(lambda at: st.tuples(*map(st.just, at), st.sampled_from(["0", "1", "2", "33.5"]))),
    min_size=1,
    max_size=3,
    unique_by=lambda change: change[:2],
)
SOON = st.sampled_from([0, 0, 1, 1, 7, 400])


def corrupt(message: Message, kind: str) -> Message:
    """The same with one thing wrong."""
    if isinstance(message, BookEvent):
        if kind == "hash":
            return msgspec.structs.replace(message, hash="0" * 40)
        if kind == "time":
            return msgspec.structs.replace(message, timestamp=message.timestamp + 3)
        bids = [WireLevel("0.02", "77"), *(message.bids or [])]
        return msgspec.structs.replace(message, bids=bids)
    timestamp_ms, last = message[-1]
    wrong = {
        "hash": {"hash": "0" * 40},
        "level": {"price": "0.47", "side": "BUY"},
        "size": {"size": "5"},
        "no hash": {"hash": None, "best_bid": None, "best_ask": None},
        "number": {"size": "x"},
    }
    if kind == "time":
        return [*message[:-1], (timestamp_ms + 3, last)]
    return [*message[:-1], (timestamp_ms, msgspec.structs.replace(last, **wrong[kind]))]


class Books(RuleBasedStateMachine):
    """One token, followed on two lines that share what is known of the market's checksum."""

    def __init__(self) -> None:
        super().__init__()
        self.venue = Venue(*FAR, ("BUY", "0.5", "9"), ("SELL", "0.51", "9"))
        self.checksum = BookChecksum(INFO)
        self.books = [TokenBook(UP, self.checksum) for _ in range(2)]
        self.queues: list[list[Message]] = [[self.venue.rest()], [self.venue.rest()]]
        self.now_ns = 10**18

    # ---- the venue

    def say(self, message: Message) -> None:
        for queue in self.queues:
            queue.append(message)

    @rule(changes=CHANGES, later_ms=SOON, frames=st.booleans())
    def change(self, changes: list[Change], later_ms: int, frames: bool) -> None:
        self.now_ns += later_ms * 1_000_000
        told = self.venue.change(*changes, later_ms=later_ms)
        for message in [[each] for each in told] if frames else [told]:
            self.say(message)

    @rule(changes=CHANGES, cents=st.integers(48, 53), later_ms=SOON, announce=st.booleans())
    def trade(self, changes: list[Change], cents: int, later_ms: int, announce: bool) -> None:
        self.now_ns += later_ms * 1_000_000
        for frame in self.venue.trade(f"0.{cents}", *changes, later_ms=later_ms):
            self.say([frame])
        self.say(self.venue.book())
        if announce:
            self.checksum.traded(DOWN, f"0.{cents}")

    @rule(changes=CHANGES, later_ms=SOON)
    def hash_ahead(self, changes: list[Change], later_ms: int) -> None:
        first = changes[0]
        coming: Change = ("SELL", "0.6", "3")
        self.say(self.venue.change(first, later_ms=later_ms, ahead=coming))
        self.say(self.venue.change(coming))

    @rule(fine=st.booleans())
    def change_tick_size(self, fine: bool) -> None:
        tick_size = "0.001" if fine else "0.01"
        if tick_size == self.venue.tick_size:
            return
        self.venue.change_tick_size(tick_size)
        self.checksum.tick_size(tick_size, self.venue.timestamp_ms)
        for book in self.books:
            book.distrust(Trouble.TICK_SIZE_CHANGE)

    # ---- the lines

    def deliver(self, line: int, message: Message) -> None:
        book = self.books[line]
        self.now_ns += 300_000
        try:
            if isinstance(message, BookEvent):
                book.replace(message, from_rest=False)
                return
            applied = [change for at_ms, change in message if book.change(change, at_ms)]
            if applied:
                book.check(applied[-1], self.now_ns)
        except ValueError:
            at_ms = message.timestamp if isinstance(message, BookEvent) else message[-1][0]
            book.distrust(Trouble.BAD_FRAME, at_ms)

    @rule(line=LINES, count=st.integers(1, 4))
    def arrive(self, line: int, count: int) -> None:
        for message in self.queues[line][:count]:
            self.deliver(line, message)
        del self.queues[line][:count]

    @precondition(lambda self: any(self.queues))
    @rule(line=LINES)
    def lose(self, line: int) -> None:
        del self.queues[line][:1]

    @precondition(lambda self: any(self.queues))
    @rule(line=LINES, later=st.integers(0, 3))
    def repeat(self, line: int, later: int) -> None:
        queue = self.queues[line]
        queue[later:later] = queue[:1]

    @precondition(lambda self: any(self.queues))
    @rule(line=LINES)
    def reorder(self, line: int) -> None:
        self.queues[line][:2] = self.queues[line][1::-1]

    @precondition(lambda self: any(self.queues))
    @rule(
        line=LINES,
        kind=st.sampled_from(["hash", "level", "size", "time", "no hash", "number"]),
    )
    def spoil(self, line: int, kind: str) -> None:
        self.queues[line][:1] = [corrupt(each, kind) for each in self.queues[line][:1]]

    @rule(line=LINES)
    def connect(self, line: int) -> None:
        self.books[line].reset()
        self.queues[line] = [self.venue.rest()]

    @rule(line=LINES, trouble=st.sampled_from([Trouble.FROZEN, Trouble.BAD_FRAME]))
    def doubt(self, line: int, trouble: Trouble) -> None:
        self.books[line].distrust(trouble)

    @rule(line=LINES, back=st.integers(0, 3), spoilt=st.booleans())
    def request(self, line: int, back: int, spoilt: bool) -> None:
        answer = self.venue.rest(back)
        if spoilt and self.checksum.confirmed:
            answer = msgspec.structs.replace(answer, bids=(answer.bids or [])[1:])
        self.books[line].replace(answer, from_rest=True)

    @rule(ms=st.sampled_from([1, 300, 1_000]))
    def wait(self, ms: int) -> None:
        self.now_ns += ms * 1_000_000
        for book in self.books:
            was = book.trouble
            assert book.doubt_if_overdue(self.now_ns) == (was is None and book.trouble is not None)

    # ---- what must hold

    @invariant()
    def never_proven_wrongly(self) -> None:
        for book in self.books:
            before = book.proof
            book.verify_deferred()
            assert before is not Proof.CHECKSUM or book.proof is Proof.CHECKSUM
            published = book.published()
            if book.proof is Proof.CHECKSUM:
                version = published.timestamp_ms, published.hash
                assert (published.bids, published.asks) == self.venue.versions[version]
            if book.trouble is not None:
                assert (book.proof, published.bids, published.asks) == (Proof.NONE, (), ())
            else:
                assert not book._buffered
            assert len(book._buffered) <= CHANGES_BUFFERED_MAX

    @rule()
    def calm(self) -> None:
        """Nothing fails any more: what is under way arrives, then a few changes do."""
        for line, queue in enumerate(self.queues):
            for message in queue:
                self.deliver(line, message)
            queue.clear()
        # Nothing that was spoilt is from later than this.
        self.venue.timestamp_ms += 10
        for n in range(6):
            self.now_ns += 300_000_000
            # Every level is written again or gone: nothing wrong can hide from the hash.
            frame = self.venue.change(("BUY", "0.01", str(n + 1)))
            for line, book in enumerate(self.books):
                self.deliver(line, frame)
                if book.trouble is not None:
                    assert book.replace(self.venue.rest(), from_rest=True) is SnapshotResult.TAKEN
        for book in self.books:
            now = book.published()
            assert (book.trouble, book.proof) == (None, Proof.CHECKSUM)
            assert now.timestamp_ms == self.venue.timestamp_ms
            assert (now.bids, now.asks) == self.venue.levels


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
