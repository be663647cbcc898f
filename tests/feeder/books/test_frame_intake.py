from __future__ import annotations

from collections.abc import Callable
from random import Random
from unittest.mock import Mock

import pytest
from structlog.testing import capture_logs

from feeder.books.frame_intake import FRAMES_REMEMBERED, UNKNOWN_TYPES_LOGGED_MAX, FrameIntake
from feeder.books.metrics import FeederMetrics
from feeder.core.market.market_session import MarketSession
from tests.fuzz.venue import Market
from tests.support.session_bench import SERIES, Bench, info_of


class Intake(Bench):
    """Takes frames as the sockets hand them over; keeps what it offers and how often it nudges."""

    def __init__(self) -> None:
        super().__init__()
        self.on_offer: Callable[[], None] = lambda: None
        self.metrics = FeederMetrics([SERIES])
        self.offered: list[MarketSession] = []
        self.nudges = 0
        self._intake = FrameIntake(self.table, self.metrics, self._offer, self._nudge)
        for line in (0, 1):
            self.table.connected(line, self.tokens, self.now_ms)

    def _offer(self, session: MarketSession) -> None:
        self.offered.append(session)
        self.on_offer()

    def _nudge(self) -> None:
        self.nudges += 1

    def take(self, line: int, *frames: bytes) -> None:
        """The frames of one read."""
        for frame in frames:
            self.take_first(line, frame)
        self._intake.offer_held()

    def take_first(self, line: int, frame: bytes) -> None:
        """A frame of a read that may have more."""
        self._intake.take(line, frame, self.now_ms * 1_000_000)

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"feeder_{name}", labels) or 0.0


@pytest.fixture
def intake() -> Intake:
    return Intake()


def test_a_market_is_offered_once_both_books_are_here_and_with_every_version(
    intake: Intake,
) -> None:
    intake.take(0, intake.opening())
    assert intake.offered == [intake.session]
    intake.now_ms += 10
    frame = intake.change()
    intake.take(0, frame)
    intake.take(1, frame)  # nothing to apply it to yet
    assert intake.offered == [intake.session] * 2
    assert intake.value("events_total", type="book") == 2
    assert intake.value("events_total", type="price_change") == 2
    assert intake.value("book_updates_total", series="btc-15m") == 4
    assert intake.value("changes_ignored_total") == 2
    assert intake.nudges == 0


def test_a_market_is_offered_when_all_of_its_frame_is_applied(intake: Intake) -> None:
    intake.take(0, intake.opening())
    intake.now_ms += 10
    first, second = intake.change(), intake.change(9)
    both, shown = b"[%b,%b]" % (first, second), []
    intake.on_offer = lambda: shown.append(intake.session.views[0].versions)
    intake.take(0, both)
    assert shown == [intake.session.views[0].versions]
    assert intake.offered == [intake.session] * 2


def test_a_market_that_changes_again_in_the_same_read_is_offered_once(intake: Intake) -> None:
    intake.take(0, intake.opening())
    intake.now_ms += 10
    frames = [intake.change(size) for size in (7, 8, 9)]
    shown: list[bool] = []
    intake.on_offer = lambda: shown.append(intake.is_up_to_date())
    intake.take(0, *frames)
    assert shown == [True]
    assert intake.value("conflated_total", series="btc-15m") == 2
    intake.take(0, intake.change(10))
    assert shown == [True, True]
    assert intake.value("conflated_total", series="btc-15m") == 2


def test_a_market_waits_for_no_other_frame_of_a_read(intake: Intake) -> None:
    """Not for another market's, and not for what a trade ends with: it has no news."""
    other = Market(8, Random(8), hidden_inputs=False)
    intake.take(0, intake.opening())
    first, _ = intake.market.tokens
    for follows in (
        other.price_change(other.entries("BUY", 4_000, 5), intake.now_ms),
        intake.market.later_book(first),
        b"PONG",
        b"?",
    ):
        intake.offered.clear()
        intake.now_ms += 10
        intake.take_first(0, intake.change(intake.now_ms % 100 + 1))
        assert intake.offered == []
        decoded: list[int] = []
        intake.on_offer = lambda decoded=decoded: decoded.append(len(intake._intake._decoded))
        known = len(intake._intake._decoded)
        intake.take_first(0, follows)
        assert intake.offered == [intake.session]
        assert decoded == [known]  # before the next frame was looked at


def test_markets_of_a_read_are_offered_in_the_order_in_which_they_changed(intake: Intake) -> None:
    other = Market(8, Random(8), hidden_inputs=False)
    intake.table.follow(info_of(other), intake.now_ms)
    tokens = {token.token_id for token in other.tokens}
    intake.table.connected(0, tokens, intake.now_ms)
    books = ",".join(map(other.opening_book, other.tokens)).encode()
    intake.take(0, b"[%b,%b" % (books, intake.opening()[1:]))
    second = next(each for each in intake.table if each is not intake.session)
    assert intake.offered == [second, intake.session]


def test_a_market_that_is_doubted_later_in_the_read_is_offered_as_it_is_then(
    intake: Intake,
) -> None:
    """The publisher finds that it has nothing to show, as of one that waits for it."""
    intake.take(0, intake.opening())
    intake.offered.clear()
    intake.now_ms += 10
    good, bad = intake.change(), intake.change(9).replace(b'"side":"BUY"', b'"side":"HOLD"')
    intake.take(0, good, bad)
    assert intake.offered == [intake.session]
    assert not intake.session.ready
    assert intake.show() is None


@pytest.mark.parametrize("seed", range(5))
def test_by_the_end_of_a_read_the_markets_are_offered_that_frame_by_frame_would_be(
    seed: int,
) -> None:
    """And what is not offered by itself is counted."""
    random, intake, single = Random(seed), Intake(), Intake()
    other = Market(8, Random(8), hidden_inputs=False)
    for each in (intake, single):
        each.table.follow(info_of(other), each.now_ms)
        for line in (0, 1):
            each.table.connected(line, {token.token_id for token in other.tokens}, each.now_ms)
    openings = [_opening(market) for market in (intake.market, other)]
    unread = [[*openings], [*openings]]
    for _ in range(60):
        intake.now_ms = single.now_ms = intake.now_ms + random.randrange(3)
        for _ in range(random.randrange(6)):
            frame = _any_frame(random, random.choice((intake.market, other)), intake.now_ms)
            for frames in unread:
                frames.extend([frame] * random.choice((0, 1, 1, 1, 1, 1, 2)))
        for line, frames in enumerate(unread):
            read = frames[: random.randrange(len(frames) + 1)]
            del frames[: len(read)]
            intake.offered.clear()
            single.offered.clear()
            before = intake.value("conflated_total", series="btc-15m")
            intake.take(line, *read)
            for frame in read:
                single.take(line, frame)
            conflated = intake.value("conflated_total", series="btc-15m") - before
            assert _names(intake.offered) == _names(single.offered)
            assert len(intake.offered) + conflated == len(single.offered)
    assert intake.value("conflated_total", series="btc-15m") > 0


def _opening(market: Market) -> bytes:
    return f"[{','.join(map(market.opening_book, market.tokens))}]".encode()


def _any_frame(random: Random, market: Market, at_ms: int) -> bytes:
    kind = random.randrange(12)
    if kind < 9:
        change = "BUY", market.middle_e4 - 300, random.randrange(1, 99) * 1_000_000
        market.put(*change)
        market.commit(at_ms)
        return market.price_change(market.entries(*change), at_ms)
    if kind == 9:
        return market.later_book(random.choice(market.tokens))
    return _opening(market) if kind == 10 else random.choice((b"PONG", b"?", b"[]"))


def _names(sessions: list[MarketSession]) -> set[str]:
    return {session.info.condition_id for session in sessions}


def test_what_changed_is_offered_although_the_next_frame_fails(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake.take(0, intake.opening())
    intake.offered.clear()
    intake.now_ms += 10
    intake.take_first(0, intake.change())
    frame = intake.change(9)
    with monkeypatch.context() as failing:
        failing.setattr(intake.table, "apply", Mock(side_effect=KeyError("a bug")))
        with pytest.raises(KeyError):
            intake.take_first(0, frame)
    intake.take(1)
    assert intake.offered == [intake.session]


def test_what_both_lines_bring_is_taken_over_by_the_second(intake: Intake) -> None:
    for line in (0, 1):
        intake.take(line, intake.opening())
    intake.now_ms += 10
    frame = intake.change()
    for line in (0, 1):
        intake.take(line, bytes(bytearray(frame)))
    first, second = intake.session.views
    for token in (0, 1):
        assert first.pair[token].sides is second.pair[token].sides
    assert intake.value("book_updates_total", series="btc-15m") == 8


def test_a_frame_is_kept_until_the_other_line_has_brought_it_and_not_without_end(
    intake: Intake,
) -> None:
    kept = intake._intake._decoded
    for line in (0, 1):
        intake.take(line, b'{"event_type":"kind","market":"m"}')
        assert len(kept) == 1 - line
    for number in range(FRAMES_REMEMBERED + 10):
        intake.take(0, b'{"event_type":"kind","number":%d}' % number)
        assert len(kept) <= FRAMES_REMEMBERED


def test_pong_and_what_is_of_no_market_of_ours_are_only_counted(intake: Intake) -> None:
    intake.take(0, b"PONG")
    intake.take(0, b"[]")
    intake.take(0, intake.opening().replace(intake.market.condition_id.encode(), b"0xother"))
    assert intake.value("events_total", type="pong") == 1
    assert intake.value("changes_ignored_total") == 2
    assert intake.offered == []


def test_unknown_types_are_counted_and_named_once_and_not_without_end(intake: Intake) -> None:
    with capture_logs() as logs:
        for number in [*range(100), *range(100)]:
            intake.take(0, b'{"event_type":"kind %d","market":"m"}' % number)
    assert intake.value("events_total", type="unknown") == 200
    named = [line["event_type"] for line in logs if line["event"] == "unknown_event_type"]
    assert named == [f"kind {number}" for number in range(UNKNOWN_TYPES_LOGGED_MAX)]


@pytest.mark.parametrize(
    ("frame", "fault", "doubts"),
    [
        (b"INVALID OPERATION", "not_json", 0),
        (b'{"event_type":"price_cha', "not_json", 2),  # may have been about any market
        (b'{"event_type":"price_change","market":"0xother","timestamp":"1"}', "malformed", 0),
        (b"\xff\xfe", "not_json", 0),
        (b"[[[[", "not_json", 2),
    ],
)
def test_a_rejected_frame_is_counted_and_doubts_what_it_may_have_been_about_on_its_line(
    intake: Intake, frame: bytes, fault: str, doubts: int
) -> None:
    intake.take(0, intake.opening())
    intake.take(1, intake.opening())
    intake.take(0, frame)
    assert intake.value("frames_rejected_total", cause=fault) == 1
    assert intake.value("books_suspect_total", cause="bad_frame") == doubts
    assert intake.nudges == (doubts > 0)
    assert intake.session.views[1].proven
    assert intake.session.ready


def test_a_number_that_is_none_is_counted_by_its_own_cause(intake: Intake) -> None:
    intake.take(0, intake.opening())
    frame = intake.change()
    intake.take(0, frame.replace(b'"size":"7"', b'"size":"1e3"', 1))
    assert intake.value("frames_rejected_total", cause="invalid_number") == 1
    assert intake.value("books_suspect_total", cause="bad_frame") == 1
    assert intake.nudges == 1
    intake.take(0, frame.replace(b'"size":"7"', b'"size":"1e3"'))
    assert intake.value("books_suspect_total", cause="bad_frame") == 2


def test_a_malformed_entry_doubts_its_book_before_its_siblings_are_shown(intake: Intake) -> None:
    intake.take(0, intake.opening())
    intake.offered.clear()
    intake.take(0, intake.change().replace(b'"side":"BUY"', b'"side":"HOLD"'))
    assert intake.value("frames_rejected_total", cause="malformed") == 1
    assert intake.value("books_suspect_total", cause="bad_frame") == 1
    assert intake.value("events_total", type="price_change") == 1
    assert intake.nudges == 1
    assert intake.offered == []
    assert not intake.session.ready


def test_rejections_are_told_at_most_every_so_often_and_none_is_lost(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as logs:
        for _ in range(10):
            intake.take(0, b"?")
        monkeypatch.setattr(intake._intake._rejections, "_next_at_s", 0.0)
        intake.take(0, b"?")
    told = [line["unlogged_before"] for line in logs if line["event"] == "frame_rejected"]
    assert told == [0, 9]
    assert intake.value("frames_rejected_total", cause="not_json") == 11
