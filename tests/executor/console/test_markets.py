"""The view Markets over HTTP."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import msgspec

from executor.console.markets import MarketsView
from functions.ports import Store
from protocol.snapshot import BookSnapshot, encode_snapshot
from tests.support.configuration_builders import seed
from tests.support.console_app import ConsoleApp, console_app
from tests.support.fake_ports import MemoryStore
from tests.support.trading_builders import market, snapshot, stale

ACCOUNT = "book_imbalance_crypto-paper"
BAD = "<script>alert(1)</script>"


async def seeded() -> dict[str, Store]:
    store = MemoryStore(name=ACCOUNT)
    await seed(store)
    return {ACCOUNT: store}


def come(console: ConsoleApp, *books: BookSnapshot) -> None:
    """As they come from NATS."""
    view: Any = console.views[0]
    view._books._waiting |= {f"book.s.{each.sequence}": encode_snapshot(each) for each in books}


async def test_every_market_has_a_row_and_one_is_opened_by_slug_or_id() -> None:
    async with console_app(MarketsView, stores=await seeded()) as console:
        assert "No market is known" in await console.page("/markets")
        one, other = snapshot(of=market("0xc1")), snapshot(of=market("0xc2"))
        come(console, one, other)
        key = console.shared.pages.key
        await console.shown("/events/markets", "markets-rows", f"markets-row-{key('0xc2')}")
        page = await console.page("/markets")
        assert page.count("up to its strategy") == 2
        assert 'href="/markets?market=0xc1"' in page
        for name in (one.market.slug, "0xc1"):
            page = await console.page(f"/markets?market={name}")
            assert page.count('class="table ladder') == 2
            assert "would buy Up for 1.10 USD" in page
            assert "Strategy, as this console sees it" in page
        assert "No book of this market is known" in await console.page("/markets?market=0xc3")


async def test_a_row_ages_without_any_book_and_is_marked_when_it_is_old() -> None:
    async with console_app(MarketsView, stores=await seeded()) as console:
        come(console, stale(snapshot(of=market("0xc1")), 1_800))
        row = f"markets-row-{console.shared.pages.key('0xc1')}"
        html = await console.shown("/events/markets", row, "OLD")
        assert "must be at most 1,000 ms" in html


async def test_only_what_has_changed_is_sent_and_the_stream_says_how_old_the_books_are() -> None:
    async with console_app(MarketsView, stores=await seeded()) as console:
        come(console, first := snapshot(of=market("0xc1")))
        async with aclosing(console.events("/events/markets")) as events:
            told = await anext(events)
            assert told["data_at_ms"] == first.published_at_ns // 1_000_000
            assert "markets-rows" in told["parts"]
            for _ in range(3):
                assert "markets-rows" not in (await anext(events))["parts"]


async def test_foreign_text_is_text() -> None:
    async with console_app(MarketsView, stores=await seeded()) as console:
        named = msgspec.structs.replace(market("0xc1"), slug=BAD)
        come(console, snapshot(of=named))
        for path in ("/markets", f"/markets?market={BAD}", "/markets?market=0xc1"):
            page = await console.page(path)
            assert "<script>alert" not in page
            assert "&lt;script&gt;alert" in page
        assert "No book of this market" in await console.page(f"/markets?market={'x' * 1_500}")
