"""How markets were resolved."""

from __future__ import annotations

import json
import time
from email.utils import formatdate

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from functions.adapters.venue_records import LiveRecords
from functions.core.evidence import Resolution, Undecided
from functions.ports import RecordsDisagreeError, RecordsError
from tests.support import canned_venue as canned
from tests.support.canned_venue import DOWN, UP, CannedVenue, claim
from tests.support.venue_records import (
    market_path,
)

# ---- resolutions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("market", "listed", "payouts", "source"),
    [
        # The CLOB names the winner; Gamma agrees, does not know yet, or is of no use.
        (canned.market(), canned.listing(), (1_000_000, 0), "clob"),
        (canned.market(), canned.listing(closed=False), (1_000_000, 0), "clob"),
        (canned.market(), [], (1_000_000, 0), "clob"),
        (canned.market(), {"error": "?"}, (1_000_000, 0), "clob"),
        # Closed without a winner: Gamma's final prices.
        (
            {**canned.market(winner=None), "is_50_50_outcome": True},
            canned.listing('["0.5", "0.5"]'),
            (500_000, 500_000),
            "gamma",
        ),
        (canned.market(winner=None), canned.listing('["0", "1"]'), (0, 1_000_000), "gamma"),
        (canned.market(winner=None), canned.listing([0, 1.0]), (0, 1_000_000), "gamma"),
        # By token, not by position.
        (canned.market(winner=None), canned.listing(tokens=[DOWN, UP]), (0, 1_000_000), "gamma"),
        # A winner in a market that is not closed counts when Gamma says the same.
        (canned.market(closed=False), canned.listing(), (1_000_000, 0), "gamma"),
        # Not final.
        (canned.market(closed=False, winner=None), canned.listing(), None, ""),
        (canned.market(closed=False), canned.listing(closed=False), None, ""),
        (canned.market(winner=None), [], None, ""),
        (canned.market(winner=None), canned.listing(closed=False), None, ""),
        (canned.market(winner=None), canned.listing('["0.5", "0.5"]'), None, ""),
        (
            {**canned.market(winner=None), "is_50_50_outcome": "yes"},
            canned.listing('["0.5", "0.5"]'),
            None,
            "",
        ),
        (canned.market(winner=None), canned.listing(None), None, ""),
        (canned.market(winner=None), canned.listing('["0.9995", "0.0005"]'), None, ""),
        (canned.market(winner=None), canned.listing('["1", "1"]'), None, ""),
        (canned.market(winner=None), canned.listing('["0", "0"]'), None, ""),
        # At one half by chance, before its resolution.
        (
            canned.market(winner=None),
            canned.listing('["0.5", "0.5"]', umaResolutionStatus="proposed"),
            None,
            "",
        ),
    ],
)
async def test_how_a_market_was_resolved(
    venue: CannedVenue,
    live: LiveRecords,
    market: object,
    listed: object,
    payouts: tuple[int, int] | None,
    source: str,
) -> None:
    venue.says(market_path(), market)
    venue.says("/events", listed)
    told = await live.resolution(claim())
    if payouts is None:
        assert isinstance(told, Undecided)
    else:
        payouts_e6 = {UP: payouts[0], DOWN: payouts[1]}
        assert told == Resolution(payouts_e6=payouts_e6, source=source)


LONG_OVER = claim(market_end_ms=1_790_000_000_000)
NO_MARKET = {"error": "market not found"}


@pytest.mark.parametrize(
    ("market", "status", "listed", "payouts"),
    [
        # The CLOB never closes it, or has forgotten it: Gamma's word, once it is not early.
        (canned.market(closed=False, winner=None), 200, canned.listing(), (1_000_000, 0)),
        (NO_MARKET, 404, canned.listing(), (1_000_000, 0)),
        (NO_MARKET, 404, canned.listing('["0.5", "0.5"]'), (500_000, 500_000)),
        # A split or a void: what the venue's own final prices say.
        (canned.market(winner=None), 200, canned.listing('["0.5", "0.5"]'), (500_000, 500_000)),
        (canned.market(winner=None), 200, canned.listing('["0.505", "0.495"]'), (505_000, 495_000)),
        (canned.market(winner=None), 200, canned.listing(["0.495", 0.505]), (495_000, 505_000)),
        (NO_MARKET, 404, canned.listing('["0.505", "0.495"]'), (505_000, 495_000)),
        (canned.market(closed=False, winner=None), 200, canned.listing([0.44, 0.56]), None),
        # No payouts: two tokens pay 1 together; and what is far from one half is a price.
        (canned.market(winner=None), 200, canned.listing('["0", "0"]'), None),
        (canned.market(winner=None), 200, canned.listing('["0.55", "0.55"]'), None),
        (canned.market(winner=None), 200, canned.listing('["0.48", "0.48"]'), None),
        (canned.market(winner=None), 200, canned.listing('["0.7", "0.3"]'), None),
        (canned.market(winner=None), 200, canned.listing('["0.9995", "0.0005"]'), None),
        # Final prices of a market that is not called resolved expressly.
        (
            canned.market(winner=None),
            200,
            canned.listing('["0.505", "0.495"]', umaResolutionStatus=None),
            None,
        ),
        (NO_MARKET, 404, canned.listing(umaResolutionStatus=None), None),
        (NO_MARKET, 404, canned.listing(umaResolutionStatus="disputed"), None),
        (NO_MARKET, 404, canned.listing(closed=False), None),
        (NO_MARKET, 404, [], None),
    ],
)
async def test_a_market_that_the_clob_does_not_resolve(
    venue: CannedVenue,
    live: LiveRecords,
    market: object,
    status: int,
    listed: object,
    payouts: tuple[int, int] | None,
) -> None:
    venue.says(market_path(), market, status)
    venue.says("/events", listed)
    told = await live.resolution(LONG_OVER)
    if payouts is None:
        assert isinstance(told, Undecided)
        assert "Gamma" in told.reason
    else:
        payouts_e6 = {UP: payouts[0], DOWN: payouts[1]}
        assert told == Resolution(payouts_e6=payouts_e6, source="gamma")


@pytest.mark.parametrize(
    ("text", "status"),
    [("404: Not Found", 404), ("<html>not found</html>", 404), ("market not found", 500)],
)
async def test_what_is_not_the_venue_s_own_word_is_no_missing_record(
    venue: CannedVenue, live: LiveRecords, text: str, status: int
) -> None:
    venue.says_text(market_path(), text, status)
    venue.says("/events", canned.listing())
    with pytest.raises(RecordsError, match="market"):
        await live.resolution(LONG_OVER)


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize(
    ("status", "market"), [(404, NO_MARKET), (200, canned.market(closed=False, winner=None))]
)
async def test_gamma_alone_is_early_by_the_clob_s_clock_not_by_ours(
    venue: CannedVenue, live: LiveRecords, dated: bool, status: int, market: object
) -> None:
    theirs_s = int(time.time()) - 3_600  # the venue's clock is an hour behind ours
    date = formatdate(theirs_s, usegmt=True) if dated else ""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(market, status=status, headers={"Date": date})

    venue.answers[market_path()] = answer
    venue.says("/events", canned.listing())
    ended_ms = (theirs_s - 16 * 60) * 1000
    if dated:
        told = await live.resolution(claim(market_end_ms=ended_ms))
        assert isinstance(told, Resolution)
    else:  # the venue does not say what time it is
        assert isinstance(await live.resolution(LONG_OVER), Undecided)
    assert isinstance(await live.resolution(claim(market_end_ms=ended_ms + 120_000)), Undecided)


@pytest.mark.parametrize("prices", ['["0", "1"]', '["0.5", "0.5"]'])
@pytest.mark.parametrize("closed", [True, False])
async def test_a_disagreement_is_an_alarm_and_never_a_guess(
    venue: CannedVenue, live: LiveRecords, prices: str, closed: bool
) -> None:
    venue.says(market_path(), canned.market(winner=UP, closed=closed))
    venue.says("/events", canned.listing(prices))
    with capture_logs() as logs, pytest.raises(RecordsDisagreeError, match="disagree"):
        await live.resolution(LONG_OVER)
    assert [log["log_level"] for log in logs] == ["critical"]


@pytest.mark.parametrize("odd", ["", "false", 0, 7])
async def test_what_nobody_reads_in_a_listing_hides_no_disagreement(
    venue: CannedVenue, live: LiveRecords, odd: object
) -> None:
    [event] = canned.listing('["0", "1"]', slug=5)
    assert isinstance(event, dict)
    venue.says(market_path(), canned.market(winner=UP))
    venue.says("/events", [{**event, "negRisk": odd}])
    with capture_logs() as logs, pytest.raises(RecordsDisagreeError, match="disagree"):
        await live.resolution(claim())
    assert [log["log_level"] for log in logs] == ["critical"]


async def test_half_a_character_hides_no_resolution(venue: CannedVenue, live: LiveRecords) -> None:
    [event] = canned.listing('["0.5", "0.5"]')
    assert isinstance(event, dict)
    venue.says_text(
        market_path(), json.dumps({**canned.market(winner=None), "description": "cut \ud83d"})
    )
    venue.says_text("/events", json.dumps([{**event, "title": "cut \ud83d"}]))
    half = Resolution(payouts_e6={UP: 500_000, DOWN: 500_000}, source="gamma")
    assert await live.resolution(LONG_OVER) == half


@pytest.mark.parametrize("loser", [0, "", "false", None])
async def test_a_token_that_is_called_nothing_is_not_the_winner(
    venue: CannedVenue, live: LiveRecords, loser: object
) -> None:
    tokens = [{"token_id": UP, "winner": True}, {"token_id": DOWN, "winner": loser}]
    venue.says(market_path(), {**canned.market(), "tokens": tokens})
    venue.says("/events", [])
    assert await live.resolution(claim()) == Resolution(
        payouts_e6={UP: 1_000_000, DOWN: 0}, source="clob"
    )


@pytest.mark.parametrize(
    "market",
    [
        None,
        [],
        {},
        {**canned.market(), "condition_id": "0x" + "d2" * 32},
        {**canned.market(), "tokens": [{"token_id": UP, "winner": True}]},
        {**canned.market(), "tokens": [{"token_id": UP, "winner": True}] * 2},
        {**canned.market(), "tokens": [{"token_id": t, "winner": True} for t in (UP, DOWN)]},
        {**canned.market(), "tokens": [{"token_id": t, "winner": "yes"} for t in (UP, DOWN)]},
        {**canned.market(), "tokens": [{"token_id": t, "winner": t == "3"} for t in ("3", "4")]},
    ],
)
async def test_a_market_record_that_cannot_be_read_is_not_unresolved(
    venue: CannedVenue, live: LiveRecords, market: object
) -> None:
    venue.says(market_path(), market)
    venue.says("/events", [])
    with pytest.raises(RecordsError, match="market"):
        await live.resolution(claim())


@pytest.mark.parametrize(
    "listed",
    [
        None,
        {},
        [1],
        [{}],
        [{"markets": [None]}],
        canned.listing(conditionId="0x" + "d2" * 32),
        canned.listing("[1,"),
        canned.listing('{"1": 0}'),
        canned.listing('["1"]'),
        canned.listing('["1", "x"]'),
        canned.listing('["1", NaN]'),
        canned.listing(tokens='["3", "4"]'),
        canned.listing(tokens=f'["{UP}", "{UP}"]'),
        canned.listing(tokens=[UP, [DOWN]]),
        canned.listing(tokens=None),
    ],
)
async def test_a_listing_that_cannot_be_read_decides_nothing(
    venue: CannedVenue, live: LiveRecords, listed: object
) -> None:
    venue.says(market_path(), canned.market(winner=None))
    venue.says("/events", listed)
    with pytest.raises(RecordsError):
        await live.resolution(claim())


async def test_gamma_is_asked_by_slug_and_only_when_the_clob_has_closed(
    venue: CannedVenue, live: LiveRecords
) -> None:
    venue.says(market_path(), canned.market(closed=False, winner=None))
    assert isinstance(await live.resolution(claim()), Undecided)
    assert [path for path, _ in venue.requests] == [market_path()]
    venue.says(market_path(), canned.market(winner=None))
    venue.says("/events", [])
    await live.resolution(claim())
    assert venue.requests[-1] == ("/events", {"slug": claim().slug})
