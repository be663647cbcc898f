"""What the feeders need of the venue: series that exist, and websockets that open.

The environment of a worker may say nothing of these; then the feeders' defaults are looked at.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from executor.doctor import in_force
from executor.doctor.configuration import ChannelSettings, EnvironmentRead
from executor.doctor.finding import Finding, fail, ok, warn
from executor.doctor.venue import REACH, REAL_CLOB_URL
from protocol.market import MarketInfo
from protocol.series import Series
from venue import checks
from venue.auth import Credentials
from venue.channel_checks import ChannelClosedError, first_word
from venue.errors import VenueError
from venue.wire import endpoints, subscriptions
from venue.wire.listing import ListingError, parse_listing

_REAL: Final = {
    name: ChannelSettings.model_fields[name].default for name in ("market_ws_url", "user_ws_url")
}
_MARKET: Final = "market channel"
_USER: Final = "user channel"
_SERIES_DO: Final = (
    "mend SERIES: the venue has windows of 5m, 15m and 4h (btc-15m), hourly ones by another name; "
    "if it is right, the venue lists nothing at present"
)


async def check(config: EnvironmentRead) -> list[Finding]:
    """A finding for each series, and one for the market channel."""
    settings, close_s = config.channels, await in_force.min_time_to_close_s(config)
    findings: list[Finding] = []
    listed: list[MarketInfo] = []
    for series in settings.series:
        finding, infos = await _series(settings.gamma_url, series)
        findings += [finding, *_too_short(series, close_s)]
        listed += infos
    tokens = [outcome.token_id for info in listed for outcome in info.outcomes]
    return [*findings, await _market_channel(config, tokens)]


async def user_channel(config: EnvironmentRead, credentials: Credentials) -> Finding:
    """Whether the venue sends this account's fills."""
    url = config.channels.user_ws_url
    if finding := _not_opened(config, _USER, "user_ws_url", url):
        return finding
    try:
        await first_word(url, subscriptions.user_channel(credentials))
    except ChannelClosedError as error:
        return fail(_USER, str(error), "see whether the credentials are this account's")
    except VenueError as error:
        return fail(_USER, str(error), REACH)
    return ok(_USER, f"{url} takes the credentials")


async def _series(gamma_url: str, series: Series) -> tuple[Finding, list[MarketInfo]]:
    what = f"series {series.name}"
    current_s = series.window_start_s(time.time())
    infos: list[MarketInfo] = []
    missing: list[str] = []
    for start_s in (current_s, series.next_start_s(current_s)):
        slug = series.slug(start_s)
        try:
            body = await checks.body_of(f"{gamma_url}{endpoints.EVENTS}?slug={slug}")
            info = parse_listing(body, series, start_s)
        except VenueError as error:
            return warn(what, f"not known: {error}", REACH), infos
        except ListingError as error:
            return fail(what, f"cannot be followed: {error}", "report this with the line"), infos
        if info is None:
            missing.append(slug)
        else:
            infos.append(info)
    if not infos:
        return fail(what, f"neither {' nor '.join(missing)} is listed", _SERIES_DO), infos
    if missing:
        do = "nothing, if this goes by: the feeder looks again every few seconds"
        return warn(what, f"{missing[0]} is not listed", do), infos
    return ok(what, "its current and its next window are listed"), infos


def _too_short(series: Series, min_time_to_close_s: float) -> list[Finding]:
    """A worker's gate lets nothing through where no window is longer than it wants."""
    if series.window_s > min_time_to_close_s:
        return []
    text = (
        f"never traded: its windows of {series.window_s} s are no longer than MIN_TIME_TO_CLOSE_S"
    )
    return [
        warn(
            f"time to trade {series.name}",
            f"{text} ({min_time_to_close_s:g})",
            "lower MIN_TIME_TO_CLOSE_S, or take it out of SERIES",
        )
    ]


async def _market_channel(config: EnvironmentRead, tokens: Sequence[str]) -> Finding:
    url = config.channels.market_ws_url
    if finding := _not_opened(config, _MARKET, "market_ws_url", url):
        return finding
    try:
        await first_word(url, subscriptions.market_channel(tokens))
    except VenueError as error:
        return fail(_MARKET, str(error), REACH)
    return ok(_MARKET, f"{url} answers")


def _not_opened(config: EnvironmentRead, what: str, name: str, url: str) -> Finding | None:
    """A simulated venue is no reason to speak to the real one."""
    if url != _REAL[name] or config.limits.clob_url == REAL_CLOB_URL:
        return None
    return ok(what, f"not opened: CLOB_URL is not the real venue, and {name.upper()} is")
