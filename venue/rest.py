"""Questions to the venue, each bounded in time and size: GETs, with API credentials at most, never
with a signing key; and whatever `method` and `headers` a log-in has signed for itself.

Credentials follow no redirect: they are for the venue alone. Not through the official client:
that takes the key and, with what signs orders, a second to import; and its models refuse records
with a field missing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from protocol.bounds import EPOCH_MS_MAX
from venue.auth import Credentials, blotted, l2_headers
from venue.errors import VenueRefusedError, VenueUnreachableError, one_line
from venue.wire.errors import UNDECODABLE, decoded
from venue.wire.refusal_text import read_refusal

ANSWER_TIMEOUT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 16 << 20
"""A page of trades has some tens of kilobytes."""
_DATES_MS: Final = (1_577_836_800_000, EPOCH_MS_MAX // 2)
"""No Date is before the venue (2020), as that of a clock which was never set (1900, 1970, 2000); or
so late that what is counted from it has no calendar."""
_LEAP_MS: Final = 10_000
"""A Date is told in whole seconds and travels for five at most."""
_LEAP_LASTS_S: Final = 60.0
"""A host with a wrong clock may answer a whole run, on a connection that is kept."""


def open_session() -> aiohttp.ClientSession:
    """For `get_bytes`; to be made inside the loop that uses it."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())


async def get_bytes(  # noqa: PLR0913 - one function for all that a GET may need
    http: aiohttp.ClientSession,
    base_url: str,
    path: str = "",
    params: Mapping[str, str] | None = None,
    *,
    credentials: Credentials | None = None,
    method: str = "GET",
    signed: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    bytes_max: int = ANSWER_BYTES_MAX,
    tell_date: Callable[[str], None] | None = None,
) -> bytes:
    """The body of a successful answer, within `timeout_s` (`ANSWER_TIMEOUT_S`).

    `tell_date` is told the header Date, empty without one, of an answer that is the venue's own.
    `signed` are headers that prove who asks, in place of `credentials`'.
    Raises VenueUnreachableError, VenueRefusedError. aiohttp sends a GET again when a connection
    that was kept turns out to be dead.
    """
    timeout_s = ANSWER_TIMEOUT_S if timeout_s is None else timeout_s
    try:
        headers = dict(signed or {})
        if credentials is not None:
            headers = l2_headers(credentials, "GET", path, int(time.time()))
        async with (
            asyncio.timeout(timeout_s),
            http.request(
                method,
                f"{base_url}{path}",
                params=params,
                headers=headers,
                allow_redirects=not headers,
            ) as response,
        ):
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > bytes_max:
                    raise VenueRefusedError(response.status, f"more than {bytes_max} bytes")
            success, date = 200 <= response.status < 300, response.headers.get("Date", "")
            if credentials is not None and not success:  # it may repeat what it was sent
                body = bytearray(credentials.without_bytes(bytes(body)))
            # Not of a success: that takes several times as long as reading a book.
            said = ("", False) if success else _error_text(response.content_type, bytes(body))
            text, is_error = said
            own_word = is_error and "cf-mitigated" not in response.headers
            of_venue = success or (own_word and response.status < 500)  # not of a gateway
            of_venue = of_venue and not response.history
            if tell_date is not None and of_venue and _is_json(bytes(body)):
                tell_date(date)
            if success:
                return bytes(body)
            if signature := headers.get("POLY_SIGNATURE", "").removeprefix("0x").rstrip("="):
                text = text.replace(signature, "***")  # no spelling writes it otherwise
            if credentials is not None:  # also in its Content-Type
                text = credentials.without(text)
            if len(secret := urlsplit(base_url).path) > 1:  # pages of errors repeat what was asked
                text = blotted(text, secret)
            raise VenueRefusedError(
                response.status,
                text,
                own_word=own_word,
                date=date,
                retry_after_s=_retry_after_s(response.headers.get("Retry-After", "")),
            )
    except TimeoutError as error:
        raise VenueUnreachableError(f"no answer within {timeout_s:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: no URL, no base64
        text = f"{type(error).__name__}: {error}"  # which quotes what is no HTTP
        if credentials is not None:
            text = credentials.without(text)
        raise VenueUnreachableError(one_line(text)) from error


class VenueReads:
    """GETs to the CLOB and to Gamma, for one account or for none.

    Each raises VenueUnreachableError or VenueRefusedError. To be made inside the loop that uses it.
    """

    def __init__(
        self, clob_url: str, gamma_url: str, credentials: Credentials | None = None
    ) -> None:
        self._clob_url = clob_url
        self._gamma_url = gamma_url
        self._credentials = credentials
        self._http = open_session()
        self._told: tuple[int, float] | None = None
        """The newest Date, in epoch ms, and when it came by our monotonic clock."""
        self._leap: tuple[int, float] | None = None
        """The same of the first Date of those that leap ahead, and agree; none since another."""

    def now_ms(self) -> int | None:
        """At least so late it is by the clock of the CLOB, whose answers bear a Date; a second
        behind it, or as long as an answer travels. None: no answer has had one that can be read
        and believed.
        """
        return None if self._told is None else _by_now_ms(self._told)

    async def private(self, path: str, params: Mapping[str, str]) -> bytes:
        """From the CLOB, in the account's name. Raises ValueError without credentials."""
        if self._credentials is None:
            raise ValueError("no API credentials")
        body = await get_bytes(
            self._http,
            self._clob_url,
            path,
            params,
            credentials=self._credentials,
            tell_date=self._hear,
        )
        return self._credentials.without_bytes(body)  # what cannot be read is quoted

    async def public(self, path: str, params: Mapping[str, str]) -> bytes:
        """From the CLOB, what needs no credentials."""
        return await get_bytes(self._http, self._clob_url, path, params, tell_date=self._hear)

    async def listing(self, path: str, params: Mapping[str, str]) -> bytes:
        """From Gamma."""
        return await get_bytes(self._http, self._gamma_url, path, params)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _hear(self, date: str) -> None:
        """Whoever believes a Date that is ahead takes for over what still runs. So one that leaps
        ahead, of the last one and of our own clock, counts once a minute of answers agrees with it.
        """
        with suppress(ValueError, OverflowError, TypeError):  # then the last one that was read
            told_at = parsedate_to_datetime(date)
            told = round(told_at.timestamp() * 1000), time.monotonic()
            earliest_ms, latest_ms = _DATES_MS
            if told_at.tzinfo is None or not earliest_ms <= told[0] <= latest_ms:
                return
            known_ms = max(self.now_ms() or 0, time.time_ns() // 1_000_000)
            if told[0] <= known_ms + _LEAP_MS:
                self._told, self._leap = told, None
            elif self._leap is None or abs(told[0] - _by_now_ms(self._leap)) > _LEAP_MS:
                self._leap = told
            elif told[1] - self._leap[1] >= _LEAP_LASTS_S:
                self._told, self._leap = told, None


def _by_now_ms(told: tuple[int, float]) -> int:
    date_ms, came_at_s = told
    return date_ms + int((time.monotonic() - came_at_s) * 1000)


def _is_json(body: bytes) -> bool:
    """A portal's page, with status 200, has a clock of its own."""
    try:
        decoded(msgspec.json.decode, body)
    except UNDECODABLE:
        return False
    return True


def _retry_after_s(header: str) -> float | None:
    """Seconds from now, never negative: the header has a number of them, or a date."""
    try:
        if header.strip().isdecimal():
            return float(header)
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _error_text(content_type: str, body: bytes) -> tuple[str, bool]:
    """What a JSON object says (True: under `error`, and nothing doubtful beside it), or plain text,
    as it came; else its size."""
    if content_type == "application/json":
        said = read_refusal(body, content_type, "")
        if said.whole:
            return said.whole, said.in_own_form and said.in_full and not said.success
    if content_type == "text/plain" and body.strip():
        return body.decode("utf-8", "replace").strip(), False
    return f"{len(body)} bytes of {content_type}", False
