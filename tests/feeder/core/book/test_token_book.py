from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeder.core.book.checksum import BookChecksum
from feeder.core.book.token_book import (
    UNPROVEN_MAX_NS,
    SnapshotResult,
    TokenBook,
    Trouble,
)
from protocol.book import PUBLISHED_LEVELS_MAX, Proof, check_order
from tests.support.market_channel_frames import DOWN, MARKET, UP
from tests.support.naive_book import INFO, TOP, Venue, followed, is_venues, tell
from venue.wire.market_channel import BookEvent, PriceChange, WireLevel

Levels = list[tuple[str, str]]


def snapshot(bids: Levels, asks: Levels) -> BookEvent:
    return BookEvent(
        market=MARKET,
        timestamp=1,
        asset_id=UP,
        bids=[WireLevel(price, size) for price, size in bids],
        asks=[WireLevel(price, size) for price, size in asks],
    )


def delta(
    side: str, price: str, size: str, best_bid: str | None = None, best_ask: str | None = None
) -> PriceChange:
    return PriceChange(UP, price, size, side, best_bid, best_ask)  # type: ignore[arg-type]


def live(bids: Levels, asks: Levels) -> TokenBook:
    """A book of which only the top can be proven: no hash was sent with it."""
    book = TokenBook(UP, BookChecksum(INFO))
    assert book.replace(snapshot(bids, asks), from_rest=False) is SnapshotResult.TAKEN
    assert book.trouble is None
    return book


# Two sides that never cross, in random wire order, each price in one of its spellings.


@st.composite
def spelled(draw: st.DrawFn, ten_thousandths: st.SearchStrategy[int]) -> str:
    text = f"{Decimal(draw(ten_thousandths)).scaleb(-4):f}"
    text = draw(st.sampled_from([text, text.rstrip("0"), text.removeprefix("0"), text + "00"]))
    return text if text.strip(".0") else "0.0001"


def side_levels(low: int, high: int) -> st.SearchStrategy[Levels]:
    # A narrow grid, so that deltas often meet an existing level.
    price = spelled(st.sampled_from(range(low, high, 100)) | st.integers(low, high))
    size = st.sampled_from(["0", "1", "0.000001", "1213.25", "99999999.5"])
    return st.lists(st.tuples(price, size), max_size=12)


BIDS, ASKS = side_levels(4_000, 4_999), side_levels(5_000, 6_000)
DELTAS = st.tuples(st.just("BUY"), BIDS) | st.tuples(st.just("SELL"), ASKS)
SNAPSHOTS = st.tuples(st.just("book"), BIDS, ASKS)


class NaiveBook:
    """The slow, obvious way: two dicts of exact decimals, sorted when asked."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, Decimal]] = {"BUY": {}, "SELL": {}}

    def put(self, side: str, levels: Levels) -> None:
        for price, size in levels:
            self.sides[side].pop(Decimal(price), None)
            if Decimal(size):
                self.sides[side][Decimal(price)] = Decimal(size)

    def best(self, side: str) -> list[tuple[int, int]]:
        levels = sorted(self.sides[side].items(), reverse=side == "BUY")
        return [(int(price * 10_000), int(size * 1_000_000)) for price, size in levels]


def distinct(levels: Levels) -> Levels:
    """One level a price, as a snapshot has it."""
    return list({Decimal(price): (price, size) for price, size in levels}.values())


@given(st.lists(SNAPSHOTS | DELTAS, max_size=12))
def test_any_split_into_snapshots_and_deltas_gives_the_naive_models_book(
    steps: list[tuple[str, Levels] | tuple[str, Levels, Levels]],
) -> None:
    book, naive = TokenBook(UP, BookChecksum(INFO)), NaiveBook()
    book.replace(snapshot([], []), from_rest=False)
    for step in steps:
        if len(step) == 3:
            bids, asks = distinct(step[1]), distinct(step[2])
            book.replace(snapshot(bids, asks), from_rest=False)
            naive = NaiveBook()
            naive.put("BUY", bids)
            naive.put("SELL", asks)
        else:
            side, levels = step
            for price, size in levels:
                book.change(delta(side, price, size), 1)
            naive.put(side, levels)
        published = book.published()
        assert list(published.bids) == naive.best("BUY")
        assert list(published.asks) == naive.best("SELL")
        check_order(published)
        bids_now, asks_now = naive.best("BUY"), naive.best("SELL")
        best_bid = f"{bids_now[0][0] / 10_000:.4f}" if bids_now else "0"
        best_ask = f"{asks_now[0][0] / 10_000:.4f}" if asks_now else "1"
        book.check(delta("BUY", "0.5", "0", best_bid, best_ask), 1)
        assert book.proof is Proof.TOP


@given(BIDS, ASKS, st.randoms(use_true_random=False))
def test_the_wire_order_of_levels_means_nothing(bids: Levels, asks: Levels, random: object) -> None:
    bids, asks = distinct(bids), distinct(asks)
    expected = live(bids, asks).published()
    random.shuffle(bids)  # type: ignore[attr-defined]
    random.shuffle(asks)  # type: ignore[attr-defined]
    assert live(bids, asks).published() == expected


def test_worst_first_as_the_venue_sends_it() -> None:
    book = live([("0.01", "9"), ("0.52", "1")], [("0.99", "9"), ("0.53", "2")]).published()
    assert (book.best_bid_e4, book.best_ask_e4) == (5_200, 5_300)


@pytest.mark.parametrize("nothing", ["0", "", None])
def test_an_empty_or_missing_size_removes_the_level(nothing: str | None) -> None:
    book = live([("0.51", "5"), ("0.52", "5")], [("0.53", "5")])
    change = msgspec.structs.replace(delta("BUY", "0.52", "0", "0.51", "0.53"), size=nothing)
    assert book.change(change, book.timestamp_ms + 1)
    assert book.best == (5_100, 5_300)


def test_only_the_best_levels_are_published() -> None:
    bids = [(f"0.{n:03}", "1") for n in range(1, 100)]
    asks = [(f"0.{n:03}", "1") for n in range(900, 999)]
    book = live(bids, asks).published()
    assert len(book.bids) == len(book.asks) == PUBLISHED_LEVELS_MAX
    assert book.bids[0][0] == 990
    assert book.asks[0][0] == 9_000


def test_a_book_is_in_trouble_until_its_first_snapshot() -> None:
    book = TokenBook(UP, BookChecksum(INFO))
    assert (book.trouble, book.proof, book.proven) == (Trouble.NO_SNAPSHOT, Proof.NONE, False)
    book.replace(Venue(*TOP).rest(), from_rest=False)
    assert book.proven
    book.reset()
    assert (book.trouble, book.proof, book.timestamp_ms) == (Trouble.NO_SNAPSHOT, Proof.NONE, 0)


def test_prices_finer_than_the_tick_are_levels() -> None:
    book = live([("0.501", "1")], [("0.5025", "2")])
    book.change(delta("BUY", "0.5011", "3"), 1)
    assert book.published().bids == ((5_011, 3_000_000), (5_010, 1_000_000))


# ---- best prices -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("best_bid", "best_ask", "agrees"),
    [
        ("0.52", "0.53", True),
        (".520", "0.5300", True),
        (None, None, False),
        ("0.52", None, False),
        (None, "0.53", False),
        ("0.51", "0.53", False),
        ("0.52", "0.54", False),
        ("", "0.53", False),
        ("0.52", "1", False),
        (None, "", False),
    ],
)
def test_the_venues_best_prices_are_compared_with_ours(
    best_bid: str | None, best_ask: str | None, agrees: bool
) -> None:
    book = live([("0.52", "1")], [("0.53", "1")])
    book.check(delta("BUY", "0.01", "1", best_bid, best_ask), 7)
    assert book.proof is (Proof.TOP if agrees else Proof.NONE)
    assert book.unproven_since_ns == (None if agrees else 7)
    assert book.trouble is None
    assert book.doubt_if_overdue(7 + UNPROVEN_MAX_NS) is not agrees
    assert book.trouble is (None if agrees else Trouble.TOP_MISMATCH)


def test_with_a_hash_the_best_prices_need_not_be_named() -> None:
    venue = Venue(*TOP)
    book = followed(venue)
    ((at_ms, change),) = venue.change(("BUY", "0.51", "1"))
    tell(book, (at_ms, msgspec.structs.replace(change, best_bid=None, best_ask=None)))
    assert is_venues(book, venue)


@pytest.mark.parametrize("nothing", ["", "0", "1", "0.00", "1.000"])
def test_an_empty_side_is_written_in_several_ways(nothing: str) -> None:
    book = live([], [])
    book.check(delta("BUY", "0.01", "0", nothing, nothing), 1)
    assert book.proven


def test_a_price_for_a_side_that_is_empty_here_is_a_mismatch() -> None:
    for best_bid, best_ask in (("0.01", "1"), ("0", "0.99")):
        book = live([], [])
        book.check(delta("BUY", "0.01", "0", best_bid, best_ask), 1)
        assert not book.proven


@pytest.mark.parametrize("ask", ["0.52", "0.51"])
def test_a_crossed_book_is_not_proven(ask: str) -> None:
    book = live([("0.52", "1")], [(ask, "1")])
    assert not book.proven
    for best_bid, best_ask in ((None, None), ("0.52", ask)):
        book = live([("0.52", "1")], [("0.60", "1")])
        change = delta("SELL", ask, "1", best_bid, best_ask)
        book.change(change, 1)
        book.check(change, 1)
        assert not book.proven
        assert book.doubt_if_overdue(1 + UNPROVEN_MAX_NS)
        assert book.trouble is Trouble.CROSSED


@pytest.mark.parametrize(
    ("bids", "asks", "is_one"),
    [
        ([("0.01", "9")], [("0.99", "9")], True),
        ([("0.001", "9")], [("0.999", "9")], True),
        ([], [], True),
        ([], [("0.99", "9")], True),
        ([("0.02", "9")], [("0.99", "9")], False),
        ([("0.01", "9")], [("0.98", "9")], False),
        ([("0.99", "9")], [], False),
    ],
)
def test_a_placeholder_is_known_by_its_prices(bids: Levels, asks: Levels, is_one: bool) -> None:
    assert live(bids, asks).is_placeholder is is_one


def test_without_hashes_every_delta_of_the_present_is_applied() -> None:
    book = live([("0.52", "1")], [("0.53", "1")])
    for size in ("2", "3", "3"):
        change = delta("BUY", "0.52", size, "0.52", "0.53")
        assert book.change(change, 1)
        book.check(change, 1)
        assert book.proof is Proof.TOP
    assert not book.change(delta("BUY", "0.52", "9"), 0)


# ---- bad input ---------------------------------------------------------------------------------

BAD_LEVELS = [("1e-2", "1"), ("0", "1"), ("1", "1"), ("NaN", "1"), ("0.5", "-1"), ("0.5", "1_0")]
LONG = "0" * 40


@pytest.mark.parametrize(
    ("price", "size"),
    [*BAD_LEVELS, ("0.5", "0.0000001"), ("+0.5", "1"), ("0.5" + LONG, "1"), ("0.5", LONG + "1")],
)
@pytest.mark.parametrize("in_trouble", [False, True])
def test_an_invalid_number_changes_nothing(price: str, size: str, in_trouble: bool) -> None:
    book = live([("0.52", "1")], [("0.53", "1")])
    if in_trouble:
        book.distrust(Trouble.FROZEN)
    before = book.published(), book.trouble, book.proof
    with pytest.raises(ValueError, match=r"price|size|outside"):
        book.change(delta("BUY", price, size), 2)
    with pytest.raises(ValueError, match=r"^asks\[1\]: "):
        book.replace(snapshot([("0.1", "1")], [("0.9", "1"), (price, size)]), from_rest=True)
    assert (book.published(), book.trouble, book.proof) == before


def test_a_snapshot_that_names_a_price_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"bids\[1\]: price '0\.50' twice"):
        live([("0.5", "1"), ("0.50", "2")], [])


def test_a_best_price_that_is_no_price_is_named() -> None:
    for best_bid, best_ask, named in (("x", "0.53", "best_bid"), ("0.52", "1e0", "best_ask")):
        book = live([("0.52", "1")], [("0.53", "1")])
        with pytest.raises(ValueError, match=named):
            book.check(delta("BUY", "0.01", "1", best_bid, best_ask), 1)
        book.distrust(Trouble.FROZEN)
        with pytest.raises(ValueError, match=named):
            book.change(delta("BUY", "0.01", "1", best_bid, best_ask), 1)


def test_the_book_of_another_token_is_refused() -> None:
    with pytest.raises(ValueError, match="asset_id"):
        TokenBook(DOWN, BookChecksum(INFO)).replace(Venue(*TOP).rest(), from_rest=True)


def test_the_same_levels_are_the_same_in_any_order_and_spelling() -> None:
    book = live([("0.51", "1"), ("0.52", "2")], [("0.53", "1.5")])
    assert book.sides.same_levels(
        snapshot([("0.520", "2.0"), ("0.51", "1"), ("0.5", "0")], [(".53", "1.5")])
    )
    assert not book.sides.same_levels(snapshot([("0.51", "1")], [("0.53", "1.5")]))
    assert not book.sides.same_levels(snapshot([("0.51", "1"), ("0.52", "3")], [("0.53", "1.5")]))
    assert not book.sides.same_levels(snapshot([("x", "1")], []))
