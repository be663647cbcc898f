"""A recording summed up: what is counted, and what every kind of damage looks like."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from py_clob_client.clob_types import OrderBookSummary, OrderSummary
from py_clob_client.utilities import generate_orderbook_summary_hash

from feeder.recording.format import (
    Closed,
    Configured,
    Listed,
    Lost,
    Missed,
    Opened,
    Paid,
    Record,
    Started,
    Stopped,
    decided_of,
    frame_of,
    published_of,
)
from feeder.recording.inspection import LOSSES_LISTED_MAX, Inspection, Inspector
from protocol.market import MarketInfo
from tests.support.market_channel_frames import frame
from tests.support.message_builders import DOWN_TOKEN, UP_TOKEN, market_info

INFO: MarketInfo = market_info()
START_NS = INFO.start_ms * 1_000_000
SECOND_NS = 1_000_000_000
Event = dict[str, Any]


class Book:
    """One token's frames, hashed by the venue's own (older) client."""

    def __init__(self, token_id: str = UP_TOKEN) -> None:
        self.token_id = token_id
        self.bids = {"0.50": "20", "0.51": "7"}
        self.asks = {"0.60": "30", "0.53": "50.5"}

    def hash(self, timestamp_ms: int, trade: str = "0.500") -> str:
        bids = [OrderSummary(price, self.bids[price]) for price in sorted(self.bids)]
        asks = [OrderSummary(price, self.asks[price]) for price in sorted(self.asks, reverse=True)]
        return generate_orderbook_summary_hash(
            OrderBookSummary(
                market=INFO.condition_id,
                asset_id=self.token_id,
                timestamp=str(timestamp_ms),
                bids=bids,
                asks=asks,
                min_order_size="5",
                neg_risk=False,
                tick_size="0.01",
                last_trade_price=trade,
                hash="",
            )
        )

    def event(self, timestamp_ms: int) -> Event:
        return {
            "event_type": "book",
            "market": INFO.condition_id,
            "asset_id": self.token_id,
            "timestamp": str(timestamp_ms),
            "hash": self.hash(timestamp_ms),
            "bids": [{"price": p, "size": self.bids[p]} for p in sorted(self.bids)],
            "asks": [{"price": p, "size": self.asks[p]} for p in sorted(self.asks, reverse=True)],
        }

    def change(self, timestamp_ms: int, price: str, size: str) -> Event:
        self.bids[price] = size
        if size == "0":
            del self.bids[price]
        return {
            "event_type": "price_change",
            "market": INFO.condition_id,
            "timestamp": str(timestamp_ms),
            "price_changes": [
                {
                    "asset_id": self.token_id,
                    "price": price,
                    "size": size,
                    "side": "BUY",
                    "hash": self.hash(timestamp_ms),
                    "best_bid": max(self.bids),
                    "best_ask": min(self.asks),
                }
            ],
        }


def five_changes() -> list[Event]:
    """A book and what it goes through, a second apart; 0.52 goes at last."""
    book = Book()
    return [
        book.event(1000),
        book.change(2000, "0.52", "11"),
        book.change(3000, "0.50", "1"),
        book.change(4000, "0.50", "2"),
        book.change(5000, "0.49", "5"),
        book.change(6000, "0.52", "0"),
    ]


def at(second: float) -> dict[str, int]:
    return {"at_ns": START_NS + int(second * SECOND_NS), "mono_ns": int(second * SECOND_NS)}


def started(run: str = "a", second: float = 0) -> Started:
    return Started(
        **at(second), format=1, run=run, part=1, market_ws_url="", gamma_url="", series=("btc-15m",)
    )


def recorded(*events: Event | bytes) -> list[Record]:
    """A frame a second, after the listing."""
    frames: list[Record] = [
        frame_of(each if isinstance(each, bytes) else frame(each), conn=1, **at(second))
        for second, each in enumerate(events, start=1)
    ]
    return [started(), Listed(**at(0), market=INFO), Opened(**at(0), conn=1), *frames]


def inspected(records: list[Record]) -> Inspection:
    inspector = Inspector()
    for each in records:
        inspector.take(each)
    return inspector.result()


def test_a_sound_recording_is_counted_and_proven() -> None:
    events = five_changes()
    found = inspected([*recorded(*events, b"PONG"), Stopped(**at(8))])
    assert (found.frames, found.frame_bytes) == (7, sum(map(len, map(frame, events))) + 4)
    assert found.types["price_change"].frames == found.types["price_change"].events == 5
    assert (found.types["book"].frames, found.types["PONG"].frames) == (1, 1)
    assert found.checks.matched == 6
    assert found.checks.proven_share == 1.0
    assert (found.checks.mismatched, found.checks.top_mismatched, found.checks.crossed) == (0, 0, 0)
    assert found.rejected == {}
    assert (found.runs, found.stopped, found.connections, found.losses) == (1, True, 1, [])
    assert (found.duration_ms, found.frames_per_s, found.frames_per_s_max) == (8000, 7 / 8, 1)
    (market,) = found.markets
    assert (market.slug, market.frames, market.books, market.changes) == (INFO.slug, 6, 1, 5)


def test_a_corrupted_size_is_a_mismatch_until_it_is_overwritten() -> None:
    events = five_changes()
    events[2]["price_changes"][0]["size"] = "1.5"
    found = inspected(recorded(*events))
    assert (found.checks.mismatched, found.checks.matched) == (1, 5)
    assert found.markets[0].first_mismatch_at_ms == INFO.start_ms + 3000


def test_a_lost_delta_is_seen_by_checksum_and_by_best_price() -> None:
    events = five_changes()
    del events[1]
    found = inspected(recorded(*events))
    assert (found.checks.mismatched, found.checks.top_mismatched) == (3, 3)
    assert found.checks.matched == 2  # 0.52 has gone at last


def test_a_mismatched_snapshot_before_any_match_counts_once_the_formula_is_known() -> None:
    events = five_changes()
    broken = copy.deepcopy(events[0])
    broken["bids"][0]["size"] = "21"
    found = inspected(recorded(broken, *events))
    assert (found.checks.mismatched, found.checks.unknown, found.checks.matched) == (1, 0, 6)


def test_inputs_that_nobody_knows_are_no_mismatch() -> None:
    events = five_changes()
    for event in events:
        for each in event.get("price_changes", [event]):
            each["hash"] = "0" * 40
    found = inspected(recorded(*events))
    assert (found.checks.mismatched, found.checks.unknown, found.checks.matched) == (0, 6, 0)
    assert found.markets[0].first_mismatch_at_ms is None


def test_what_has_no_hash_is_counted() -> None:
    events = five_changes()
    del events[0]["hash"], events[1]["price_changes"][0]["hash"]
    found = inspected(recorded(*events))
    assert (found.checks.no_hash, found.checks.matched) == (2, 4)


def test_a_late_trade_price_is_found_by_trying() -> None:
    book = Book()
    change = book.change(2000, "0.52", "11")
    change["price_changes"][0]["hash"] = book.hash(2000, trade="0.770")
    assert inspected(recorded(Book().event(1000), change)).checks.matched == 2


def test_duplicates_and_stale_deltas_are_counted_apart() -> None:
    events = five_changes()
    found = inspected(recorded(*events, events[5], events[2]))
    (market,) = found.markets
    assert (market.duplicates, market.stale) == (1, 1)
    assert (found.checks.matched, found.checks.mismatched) == (6, 0)


def test_a_delta_repeated_after_its_book_is_a_duplicate_and_an_overtaken_book_is_stale() -> None:
    book = Book()
    opening, change = book.event(1000), book.change(2000, "0.52", "11")
    same, later = book.event(2000), book.change(2000, "0.52", "12")
    found = inspected(recorded(opening, change, same, change, later, same))
    (market,) = found.markets
    assert (market.duplicates, market.stale) == (1, 1)
    assert (found.checks.matched, found.checks.mismatched) == (3, 0)


def test_a_book_is_not_given_up_however_often_it_mismatches() -> None:
    book = Book()
    opening = book.event(1000)
    lost = book.change(1500, "0.52", "11")
    changes = [book.change(2000 + 100 * n, "0.49", str(n + 1)) for n in range(10)]
    last = book.change(4000, "0.52", "0")
    found = inspected(recorded(opening, *changes, last))
    assert (found.checks.mismatched, found.checks.matched) == (10, 2)
    assert found.markets[0].without_book == 0
    assert inspected(recorded(opening, lost, *changes, last)).checks.matched == 13


def test_every_book_starts_anew_however_often_the_last_one_did_not_have_its_hash() -> None:
    book = Book()
    opening = book.event(1000)
    broken = [{**book.event(2000 + n), "hash": f"{n:040x}"} for n in range(8)]
    found = inspected(recorded(opening, *broken, book.change(3000, "0.52", "11")))
    assert (found.checks.mismatched, found.checks.matched) == (8, 2)
    assert (found.markets[0].stale, found.markets[0].without_book) == (0, 0)


def test_a_trade_of_several_frames_is_one_version() -> None:
    book = Book()
    opening = book.event(1000)
    first = book.change(2000, "0.53", "8")  # crossed, until the ask that it met goes
    del book.asks["0.53"]
    second = book.change(2000, "0.53", "8")
    before, after = first["price_changes"][0], second["price_changes"][0]
    after.update(size="0", side="SELL")
    before.update({name: after[name] for name in ("hash", "best_bid", "best_ask")})
    found = inspected(recorded(opening, first, second, book.event(2000)))
    assert (found.checks.matched, found.checks.mismatched) == (2, 0)
    assert (found.checks.top_mismatched, found.checks.crossed) == (0, 0)
    assert found.markets[0].duplicates == 0


def test_a_new_connection_makes_books_unknown_until_they_come_again() -> None:
    events = five_changes()
    records = recorded(*events)
    records.insert(5, Closed(**at(2.1), conn=1, why="ConnectionClosedError: no close frame"))
    records.insert(6, Opened(**at(2.2), conn=2))
    found = inspected(records)
    assert found.markets[0].without_book == 4
    assert (found.connections, found.lost_connections) == (2, 1)
    (loss,) = found.losses
    assert (loss.conn, loss.lasted_ms, loss.at_ms) == (1, 2100, INFO.start_ms + 2100)


def test_missing_records_are_counted_and_nothing_is_judged_across_them() -> None:
    events = five_changes()
    records = recorded(*events)
    del records[4]
    records.insert(4, Lost(**at(2), records=1, since_ns=at(2)["at_ns"]))
    found = inspected(records)
    assert (found.lost_records, found.checks.mismatched) == (1, 0)
    assert found.markets[0].without_book == 4


def test_a_run_that_was_killed_is_followed_by_another() -> None:
    again = [started("b", 9), Opened(**at(9), conn=1), Closed(**at(10), conn=1, why=Closed.OURS)]
    found = inspected([*recorded(*five_changes()), *again])
    assert (found.runs, found.stopped, found.connections) == (2, False, 2)
    assert found.lost_connections == 0
    assert not inspected([*recorded(), started("a", 1)]).stopped


def test_rejected_frames_have_a_cause_and_the_first_is_quoted() -> None:
    bad_price = five_changes()[1]
    bad_price["price_changes"][0]["price"] = "1.5"
    found = inspected(
        recorded(five_changes()[0], b"{", b"INVALID OPERATION", {"event_type": "book"}, bad_price)
    )
    assert found.rejected == {"not_json": 2, "malformed": 1, "invalid_number": 1}
    assert "not JSON" in found.first_rejected
    assert found.types["rejected"].frames == 3


def test_silence_counts_within_the_window_and_until_the_end() -> None:
    early, late = five_changes()[0], five_changes()[1]
    window_s = (INFO.end_ms - INFO.start_ms) / 1000
    for last_s, longest_s, since_s in (
        (window_s + 500, 890, 10),
        (300, 290, 10),
    ):
        frames = [
            frame_of(frame(early), conn=1, **at(-5000)),
            frame_of(frame(late), conn=1, **at(10)),
        ]
        records = [started(second=-6000), Listed(**at(-6000), market=INFO), *frames]
        (market,) = inspected([*records, Stopped(**at(last_s))]).markets
        assert market.longest_silence_ms == longest_s * 1000
        assert market.silent_since_ms == INFO.start_ms + since_s * 1000


def test_markets_and_tokens_that_are_not_described_are_counted() -> None:
    other = {**five_changes()[0], "market": "0x" + "cd" * 32}
    stranger = {**five_changes()[0], "asset_id": "9"}
    found = inspected(recorded(other, stranger, frame([])))
    assert found.unlisted_events == 1
    assert found.types["empty"].frames == 1
    assert found.checks.matched == 0


def test_both_tokens_of_a_frame_are_checked() -> None:
    up, down = Book(), Book(DOWN_TOKEN)
    first = [up.event(1000), down.event(1000)]
    both = up.change(2000, "0.52", "11")
    both["price_changes"] += down.change(2000, "0.50", "9")["price_changes"]
    found = inspected(recorded(json.dumps(first).encode(), both))
    assert (found.checks.matched, found.types["book"].events, found.types["book"].frames) == (
        4,
        2,
        1,
    )


def test_losses_are_listed_up_to_a_bound_and_counted_beyond() -> None:
    closed: list[Record] = [
        Closed(**at(second), conn=second, why="x") for second in range(LOSSES_LISTED_MAX + 5)
    ]
    found = inspected([started(), *closed])
    assert (len(found.losses), found.lost_connections) == (LOSSES_LISTED_MAX, LOSSES_LISTED_MAX + 5)


def test_an_empty_recording_has_no_rates_and_no_share() -> None:
    found = inspected([started()])
    assert (found.frames_per_s, found.checks.proven_share, found.markets) == (0.0, None, [])


mutations = st.tuples(st.integers(0, 5), st.integers(0, 400), st.binary(max_size=3))


@given(st.lists(mutations, max_size=4), st.lists(st.binary(max_size=20), max_size=2))
def test_no_bytes_break_it(cuts: list[tuple[int, int, bytes]], noise: list[bytes]) -> None:
    frames = [frame(each) for each in five_changes()]
    for which, where, what in cuts:
        received = frames[which]
        frames[which] = received[:where] + what + received[where + len(what) :]
    found = inspected(recorded(*frames, *noise))
    assert found.frames == 6 + len(noise)
    assert sum(each.frames for each in found.types.values()) == found.frames


def test_what_went_between_our_processes_is_counted_beside_the_frames() -> None:
    configured = Configured(**at(1), account="a", text="{}")
    found = inspected(
        [
            started(),
            configured,
            published_of(b"{}", subject="book.a.b", **at(1)),
            published_of(b"{}", subject="book.a.b", **at(2)),
            decided_of(b"{}", subject="decision.a", **at(2)),
            Missed(**at(3), what="books", messages=5, since_ns=1, why="a gap"),
            Paid(**at(3), condition_id="0x", payouts_e6={"1": 10**6}, source="gamma"),
            configured,  # again, as each file begins with it
        ]
    )
    assert (found.published, found.decisions, found.configurations, found.paid_markets) == (
        *(2, 1, 1, 1),
    )
    assert found.missed == {"books": 1}
    assert found.frames == 0


def test_markets_that_ended_without_a_payout_are_counted() -> None:
    after = at((INFO.end_ms - INFO.start_ms) / 1000)
    paid = Paid(
        **after,
        condition_id=INFO.condition_id,
        payouts_e6={UP_TOKEN: 1, DOWN_TOKEN: 0},
        source="gamma",
    )
    running = recorded(*five_changes())
    assert inspected(running).unpaid_markets == 0
    assert inspected([*running, Stopped(**after)]).unpaid_markets == 1
    found = inspected([*running, paid, Stopped(**after)])
    assert (found.paid_markets, found.unpaid_markets) == (1, 0)
