from __future__ import annotations

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from feeder.books.frame_intake import FRAMES_REMEMBERED, UNKNOWN_TYPES_LOGGED_MAX, FrameIntake
from feeder.books.metrics import FeederMetrics
from feeder.core.market.market_session import MarketSession
from tests.support.session_bench import SERIES, Bench


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

    def take(self, line: int, frame: bytes) -> None:
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
