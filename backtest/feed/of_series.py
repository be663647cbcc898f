"""A feed's markets of some series only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backtest.feed.events import Exclusion, Feed, FeedError, FeedEvent, MarketPaid
from protocol.series import parse_series

_IN_SLUGS = "-updown-"


class SeriesFeed:
    """What a feed says of these series (`btc-15m`), and nothing of others."""

    def __init__(self, feed: Feed, series: Sequence[str]) -> None:
        self._feed, self._series = feed, frozenset(series)
        self.name = f"{feed.name}; of them only {', '.join(sorted(series))}"

    @property
    def exclusions(self) -> list[Exclusion]:
        """Of all that was read: what is damaged has no series."""
        return self._feed.exclusions

    def __iter__(self) -> Iterator[FeedEvent]:
        """In order of time. Raises FeedError at the end where there was none of them."""
        wanted: dict[str, bool] = {}
        others: set[str] = set()
        for event in self._feed:
            if isinstance(event, MarketPaid):
                if wanted.get(event.condition_id):
                    yield event
                continue
            market = event.market
            if market.condition_id not in wanted:
                name = _plain(market.series)
                wanted[market.condition_id] = name in self._series
                others.add(name)
            if wanted[market.condition_id]:
                yield event
        if not any(wanted.values()):
            there = ", ".join(sorted(others)) or "none"
            raise FeedError(f"no market of {', '.join(sorted(self._series))}; there are: {there}")


def series_in(text: str) -> list[str]:
    """`btc-15m,eth-15m`, also as the venue writes them. Raises ValueError, one line."""
    return [parse_series(_plain(name.strip())).name for name in text.split(",")]


def _plain(series: str) -> str:
    """The venue's slugs say `btc-updown-15m`, and so do files that were made of them."""
    return series.replace(_IN_SLUGS, "-")
