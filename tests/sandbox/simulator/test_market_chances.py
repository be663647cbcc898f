"""The market channel's faults as seeded chances."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.simulator import Faults, Market, Venue
from sandbox.simulator.market_faults import EVENT_OF
from tests.sandbox.simulator.conftest import SHARES
from tests.sandbox.simulator.test_control import call
from tests.support.sinks import drawn, played
from tests.support.two_connections import line

FRAME_CHANCES = (
    "market_lost",
    "market_duplicated",
    "market_reordered",
    "market_corrupted",
    "market_wrong_hash",
    "market_stale_book",
)
CONNECTION_CHANCES = (
    "market_frozen",
    "market_half_open",
    "market_cut",
    "market_cut_midframe",
    "market_closed_1009",
)


def fates(venue: Venue) -> list[tuple[str, int]]:
    return [(each.kind, each.connection) for each in venue.injections.log]


def test_a_seed_decides_and_another_seed_decides_otherwise() -> None:
    faults = Faults(market_lost=0.1, market_corrupted=0.1, market_reordered=0.1)
    venue, sinks = played(faults)
    again, same = played(faults)
    other, _ = played(faults, seed=8)
    assert fates(venue) == fates(again) != fates(other)
    assert [sink.frames for sink in sinks] == [sink.frames for sink in same]


def test_the_same_seed_is_the_same_run_in_every_process() -> None:
    """This one has another hash seed than the other, or none."""
    code = "from tests.support.sinks import *; import sys; sys.stdout.write(drawn())"
    output = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "1"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert output == drawn()


@pytest.mark.parametrize("name", FRAME_CHANCES)
def test_each_connection_has_chances_of_its_own(name: str) -> None:
    venue, sinks = played(Faults(**{name: 0.25}))
    hit = [[i for i in fates(venue) if i == (name, sink.number)] for sink in sinks]
    assert all(25 < len(each) < 75 for each in hit), "per frame and connection"
    assert venue.chance.injected == {name: len(venue.injections.log)}
    assert sinks[0].frames != sinks[1].frames


@pytest.mark.parametrize("name", FRAME_CHANCES)
def test_never_is_never_and_always_is_always(name: str) -> None:
    assert not played(Faults())[0].injections.log
    venue, _ = played(Faults(**{name: 1.0}))
    assert len(venue.injections.log) == 400


def test_every_fault_of_a_frame_has_its_chance() -> None:
    assert set(EVENT_OF) <= set(Faults.__struct_fields__)
    assert set(CONNECTION_CHANCES) <= set(Faults.__struct_fields__)


def test_frames_that_nothing_befalls_are_untouched() -> None:
    _, (clean, _) = played(Faults())
    venue, (sink, _) = played(Faults(market_corrupted=0.3))
    hit = len([each for each in venue.injections.log if each.connection == 0])
    differing = [a for a, b in zip(sink.frames, clean.frames, strict=True) if a != b]
    assert len(differing) == hit > 0
    for wrong in differing:
        assert json.loads(wrong)["event_type"] == "price_change"


@pytest.mark.parametrize("name", CONNECTION_CHANCES)
async def test_connections_fail_by_the_second(
    url: str, venue: Venue, market: Market, name: str
) -> None:
    setattr(venue.faults, name, 1.0)
    async with line(url, venue, market) as one:
        await one.subscribe()
        (connection,) = venue.market_feed.connections
        await venue.subscribed(market.token("Up"))
        connection.second()
        setattr(venue.faults, name, 0.0)
        venue.change_level(market.token("Up"), "BUY", 4700, SHARES)
        assert fates(venue) == [(name, 0)]
        connection.second()
        assert venue.chance.injected == {name: 1}


async def test_the_venue_draws_every_second_by_itself(
    url: str, venue: Venue, market: Market
) -> None:
    async with line(url, venue, market):
        await call(url, "/sandbox/faults", {"market_frozen": 1.0})
        async with asyncio.timeout(30):
            await venue.notice.until(lambda: bool(venue.injections.log))
        _, ((kind, number, market_id, at_ns),) = await call(url, "/sandbox/injections")
        assert (kind, number, market_id, at_ns > 0) == ("market_frozen", 0, "", True)


async def test_books_after_a_subscribe_are_missing_or_late_by_chance(
    url: str, venue: Venue, market: Market
) -> None:
    async with line(url, venue, market) as one:
        venue.faults.market_no_book = 1.0
        await one.subscribe()
        assert await one.waiting() == []
        venue.faults.market_no_book, venue.faults.market_late_book = 0.0, 1.0
        await one.subscribe()
        assert await one.waiting() == []
        venue.change_level(market.token("Up"), "BUY", 4700, SHARES)
        delta, books = await one.waiting()
        assert delta["event_type"] == "price_change"
        assert [book["event_type"] for book in books] == ["book", "book"]
        assert fates(venue) == [("market_no_book", 0), ("market_late_book", 0)]
