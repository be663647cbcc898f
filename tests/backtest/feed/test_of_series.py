"""A feed's markets of some series only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec import structs

from backtest.feed.events import Exclusion, FeedError, FeedEvent, LeftOut, MarketPaid
from backtest.feed.of_series import SeriesFeed, series_in
from functions.core.evidence import Resolution
from tests.support.message_builders import snapshot

DAMAGED = Exclusion(why=LeftOut.DAMAGED, where="file", count=1)


class Given:
    """A feed of these."""

    name = "given"
    exclusions = [DAMAGED]  # noqa: RUF012 - never changed

    def __init__(self, *series: str) -> None:
        self.events: list[FeedEvent] = []
        for number, each in enumerate(series):
            one, condition_id = snapshot(), f"0x{number}"
            market = structs.replace(one.market, series=each, condition_id=condition_id)
            paid = MarketPaid(
                condition_id=condition_id,
                slug=market.slug,
                at_ms=market.end_ms,
                resolution=Resolution(payouts_e6={}, source="gamma"),
            )
            self.events += [structs.replace(one, market=market), paid]

    def __iter__(self) -> Iterator[FeedEvent]:
        return iter(self.events)


def test_books_and_payouts_of_other_series_are_not_passed_on() -> None:
    feed = Given("btc-15m", "eth-15m", "btc-updown-15m", "btc-5m")
    only = SeriesFeed(feed, ["btc-15m"])
    assert list(only) == [*feed.events[0:2], *feed.events[4:6]]
    assert (only.name, only.exclusions) == ("given; of them only btc-15m", [DAMAGED])


def test_a_series_that_is_not_there_is_said_with_those_that_are() -> None:
    with pytest.raises(FeedError, match=r"^no market of sol-5m; there are: btc-15m, eth-15m$"):
        list(SeriesFeed(Given("eth-15m", "btc-updown-15m"), ["sol-5m"]))
    with pytest.raises(FeedError, match=r"^no market of sol-5m; there are: none$"):
        list(SeriesFeed(Given(), ["sol-5m"]))


def test_names_are_checked() -> None:
    assert series_in("btc-15m,eth-updown-5m") == ["btc-15m", "eth-5m"]
    with pytest.raises(ValueError, match="not a series: 'btc'"):
        series_in("btc-15m,btc")
