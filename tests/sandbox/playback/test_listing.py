"""Recorded markets, listed where a feeder looks for windows that run now."""

from __future__ import annotations

import msgspec
import pytest

from protocol.market import MarketInfo
from protocol.series import parse_series
from sandbox.playback.listing import RecordedListing, event_json
from tests.support.message_builders import market_info
from venue.wire.listing import parse_listing

SERIES = parse_series("btc-15m")
FIRST_S = market_info().start_ms // 1000
NOW_S = FIRST_S + 100 * SERIES.window_s + 7
RUNNING_S, NEXT_S = SERIES.window_start_s(NOW_S), SERIES.window_start_s(NOW_S) + SERIES.window_s


def recorded(window: int) -> MarketInfo:
    """The market of a recorded window, counted from 0."""
    start_s = FIRST_S + window * SERIES.window_s
    return msgspec.structs.replace(
        market_info(),
        condition_id=f"0x{window:064x}",
        slug=SERIES.slug(start_s),
        start_ms=start_s * 1000,
        end_ms=(start_s + SERIES.window_s) * 1000,
    )


LISTING = RecordedListing([recorded(2), recorded(0), recorded(1)])


def found(slug: str, *, tape_s: int) -> MarketInfo | None:
    return LISTING.market(slug, now_s=NOW_S, tape_ms=tape_s * 1000)


@pytest.mark.parametrize("window", [0, 1, 2])
def test_under_its_own_slug_a_market_is_as_recorded(window: int) -> None:
    info = recorded(window)
    assert found(info.slug, tape_s=FIRST_S) == info


@pytest.mark.parametrize(
    ("tape_s", "running", "following"),
    [
        (FIRST_S - 5000, 0, 1),  # recorded from before the first window
        (FIRST_S, 0, 1),
        (FIRST_S + SERIES.window_s - 1, 0, 1),
        (FIRST_S + SERIES.window_s, 1, 2),
        (FIRST_S + 2 * SERIES.window_s, 2, None),
        (FIRST_S + 50 * SERIES.window_s, 2, None),
    ],
)
def test_the_tapes_window_is_listed_as_the_one_that_runs_now(
    tape_s: int, running: int, following: int | None
) -> None:
    for start_s, window in ((RUNNING_S, running), (NEXT_S, following)):
        info = found(SERIES.slug(start_s), tape_s=tape_s)
        if window is None:
            assert info is None
            continue
        assert info == msgspec.structs.replace(
            recorded(window),
            slug=SERIES.slug(start_s),
            start_ms=start_s * 1000,
            end_ms=(start_s + SERIES.window_s) * 1000,
        )
        assert parse_listing(msgspec.json.encode([event_json(info)]), SERIES, start_s) == info


@pytest.mark.parametrize(
    "slug",
    [
        "",
        "nonsense",
        SERIES.slug(NEXT_S + SERIES.window_s),
        SERIES.slug(RUNNING_S + 1),
        parse_series("eth-15m").slug(RUNNING_S),
    ],
)
def test_nothing_else_is_listed(slug: str) -> None:
    assert found(slug, tape_s=FIRST_S) is None


def test_of_several_listings_the_first_that_took_orders_counts() -> None:
    early, late = (
        msgspec.structs.replace(recorded(0), accepting=accepting, tick_size_e4=tick)
        for accepting, tick in ((False, 1), (True, 10))
    )
    ended = msgspec.structs.replace(recorded(0), accepting=False, tick_size_e4=5)
    assert list(RecordedListing([early, late, ended]).markets.values()) == [late]
    assert list(RecordedListing([early, ended]).markets.values()) == [early]
