from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from feeder.core import missing_trades
from feeder.core.missing_trades import NOT_FINAL_S_MAX, OVERLAP_S, MissingTrades
from protocol.fill import Fill, TradeStatus
from tests.venue.wire.test_user_channel import FILL

START_S = 1_700_000_000
NOW_S = START_S + 10 * NOT_FINAL_S_MAX


def fill(
    matched_at_s: int, status: TradeStatus = TradeStatus.CONFIRMED, trade_id: str = ""
) -> Fill:
    return msgspec.structs.replace(
        FILL,
        trade_id=trade_id or f"t{matched_at_s}",
        status=status,
        matched_at_ms=matched_at_s * 1000,
    )


def paid() -> MissingTrades:
    """A feeder whose first fetch is done."""
    missing = MissingTrades(START_S)
    missing.interrupted()
    missing.begin_fetch()
    missing.fetched()
    assert missing.owed_from_s is None
    return missing


def test_a_start_owes_everything_since_the_given_time() -> None:
    missing = MissingTrades(START_S)
    missing.interrupted()
    assert missing.begin_fetch() == START_S


def test_a_reconnect_owes_everything_since_the_newest_trade_and_a_little_more() -> None:
    missing = paid()
    missing.acknowledged(fill(START_S + 500), NOW_S)
    missing.acknowledged(fill(START_S + 400), NOW_S)
    missing.interrupted()
    assert missing.begin_fetch() == START_S + 500 - OVERLAP_S


def test_an_unsettled_trade_is_asked_for_until_its_last_status_is_known() -> None:
    missing = paid()
    missing.acknowledged(fill(START_S + 100, TradeStatus.MATCHED, "a"), NOW_S)
    missing.acknowledged(fill(START_S + 900, TradeStatus.CONFIRMED, "b"), NOW_S)
    missing.interrupted()
    assert missing.begin_fetch() == START_S + 100 - OVERLAP_S
    missing.acknowledged(fill(START_S + 100, TradeStatus.FAILED, "a"), NOW_S)
    missing.acknowledged(fill(START_S + 100, TradeStatus.MINED, "a"), NOW_S)  # late: no news
    missing.fetched()
    missing.interrupted()
    assert missing.begin_fetch() == START_S + 900 - OVERLAP_S


def test_a_trade_that_never_settles_is_asked_for_for_a_day() -> None:
    missing = paid()
    newest_s = START_S + 3 * NOT_FINAL_S_MAX
    missing.acknowledged(fill(START_S, TradeStatus.RETRYING), NOW_S)
    missing.acknowledged(fill(newest_s), NOW_S)
    missing.interrupted()
    assert missing.begin_fetch() == newest_s - NOT_FINAL_S_MAX - OVERLAP_S


def test_a_failed_fetch_forgets_nothing_though_newer_trades_arrive() -> None:
    missing = paid()
    missing.acknowledged(fill(START_S + 100), NOW_S)
    missing.interrupted()
    owed_s = missing.begin_fetch()
    missing.acknowledged(fill(START_S + 9_000), NOW_S)  # live, while the fetch fails
    assert missing.begin_fetch() == owed_s
    missing.interrupted()
    assert missing.begin_fetch() == owed_s


def test_a_loss_during_a_fetch_keeps_the_debt() -> None:
    missing = paid()
    missing.interrupted()
    missing.begin_fetch()
    missing.interrupted()
    missing.fetched()
    assert missing.owed_from_s is not None
    missing.begin_fetch()
    missing.dropped(fill(START_S - 1_000))
    missing.fetched()
    assert missing.begin_fetch() == START_S - 1_000 - OVERLAP_S
    missing.fetched()
    assert missing.owed_from_s is None


def test_a_match_time_in_the_future_hides_nothing() -> None:
    missing = paid()
    missing.acknowledged(fill(NOW_S * 100), START_S + 50)
    missing.interrupted()
    assert missing.begin_fetch() == START_S  # not after what comes next


def test_memory_is_bounded() -> None:
    missing = paid()
    for number in range(missing_trades.TRADES_MAX + 5):
        for status in (TradeStatus.MATCHED, TradeStatus.CONFIRMED):
            missing.acknowledged(fill(START_S, status, f"t{number}"), NOW_S)
            missing.acknowledged(fill(START_S, TradeStatus.MATCHED, f"u{number}"), NOW_S)
    assert len(missing._not_final) <= missing_trades.TRADES_MAX
    assert len(missing._final) <= missing_trades.TRADES_MAX


_steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("live"), st.integers(0, 5000), st.sampled_from(TradeStatus), st.booleans()
        ),
        st.tuples(st.just("cut"), st.just(0), st.just(TradeStatus.MATCHED), st.booleans()),
        st.tuples(st.just("fetch"), st.just(0), st.just(TradeStatus.MATCHED), st.booleans()),
    ),
    max_size=30,
)


@given(_steps)
def test_after_a_complete_fetch_the_stream_has_every_trade_of_the_venue(
    steps: list[tuple[str, int, TradeStatus, bool]],
) -> None:
    """Trades match in the order of time; some happen unseen, while the connection is away."""
    missing = paid()
    venue: list[Fill] = []
    stream: set[str] = set()
    connected, now_s = True, START_S
    for kind, after_s, _, succeeds in [*steps, ("cut", 0, None, True), ("fetch", 0, None, True)]:
        if kind == "live":
            now_s += after_s
            traded = fill(now_s, trade_id=f"n{len(venue)}")
            venue.append(traded)
            if connected:
                stream.add(traded.trade_id)
                missing.acknowledged(traded, now_s)
        elif kind == "cut":
            connected = not connected or succeeds
            if connected:
                missing.interrupted()
        else:
            owed_s = missing.begin_fetch()
            if owed_s is None or not connected:
                continue
            found = [each for each in venue if each.matched_at_ms >= owed_s * 1000]
            for each in reversed(found) if succeeds else list(reversed(found))[:1]:
                stream.add(each.trade_id)
                missing.acknowledged(each, now_s)
            if succeeds:
                missing.fetched()
    assert stream == {each.trade_id for each in venue}
