"""The venue asked for JSON, by GET alone: with API credentials at most, never with a signing key.

Not through the official client: that takes the key and, with what signs orders, a second to import;
what is read here is raw JSON anyway (its models refuse records with a field missing).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar

import aiohttp

from functions.ports import RecordsError
from venue.auth import Credentials, l2_headers

ANSWER_TIMEOUT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 16 << 20
"""A page of trades has some tens of kilobytes."""
_REQUEST_TIMEOUT_S: Final = 30.0
"""For whoever does not bound a request by `answered`."""
_TEXT_LENGTH_MAX: Final = 300
_T = TypeVar("_T")


class ReadRefusedError(Exception):
    """The venue answered, but not with success; the text is its own, or says what came instead."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


FAILURES: Final = (aiohttp.ClientError, ReadRefusedError, OSError, ValueError, RecursionError)
"""All that a read of `VenueReads` raises: JSON that is none, or is nested too deeply, included."""


class VenueReads:
    """GETs of JSON; each raises one of `FAILURES`. To be made inside the loop that uses it."""

    def __init__(
        self, clob_url: str, gamma_url: str, credentials: Credentials | None = None
    ) -> None:
        self._clob_url = clob_url
        self._gamma_url = gamma_url
        self._credentials = credentials
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def private(self, path: str, params: Mapping[str, str]) -> Any:
        """The JSON of a GET to the CLOB in the account's name."""
        return json.loads(await self.private_bytes(path, params))

    async def private_bytes(self, path: str, params: Mapping[str, str]) -> bytes:
        """The answer as it is."""
        if self._credentials is None:
            raise ValueError("no API credentials")
        headers = l2_headers(self._credentials, "GET", path, int(time.time()))
        return await self._get(self._clob_url, path, params, headers)

    async def public(self, path: str, params: Mapping[str, str]) -> Any:
        """The JSON of a GET to the CLOB that needs no credentials."""
        return json.loads(await self._get(self._clob_url, path, params, {}))

    async def listing(self, path: str, params: Mapping[str, str]) -> Any:
        """The JSON of a GET to Gamma."""
        return json.loads(await self._get(self._gamma_url, path, params, {}))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _get(
        self, base_url: str, path: str, params: Mapping[str, str], headers: Mapping[str, str]
    ) -> bytes:
        # aiohttp sends a GET again when a connection that was kept turns out to be dead.
        async with self._http.get(
            # Without redirects: the headers are for the venue alone.
            f"{base_url}{path}", params=params, headers=headers, allow_redirects=False
        ) as response:  # fmt: skip
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    raise ReadRefusedError(response.status, f"more than {ANSWER_BYTES_MAX} bytes")
            if not 200 <= response.status < 300:
                text = _words(response.content_type, bytes(body))
                if self._credentials is not None:
                    text = self._credentials.without(text)
                raise ReadRefusedError(response.status, text)
            return bytes(body)


async def answered(
    what: str,
    asked: Awaitable[_T],
    timeout_s: float | None = None,
    failures: tuple[type[Exception], ...] = FAILURES,
) -> _T:
    """The answer, or RecordsError: within `timeout_s` (`ANSWER_TIMEOUT_S`), and with one line that
    begins with `what`.

    Which of `failures` it was, if one, is the `__cause__`.
    """
    timeout_s = ANSWER_TIMEOUT_S if timeout_s is None else timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            return await asked
    except TimeoutError as error:
        raise RecordsError(f"{what}: no answer within {timeout_s:g} s") from error
    except failures as error:
        status = getattr(error, "status", None)
        kind = type(error).__name__ if status is None else f"{type(error).__name__} {status}"
        text = " ".join(f"{kind}: {error}".split())[:_TEXT_LENGTH_MAX]
        # Only what every log can take: JSON may hold halves of characters.
        printable = text.encode("ascii", "backslashreplace").decode()
        raise RecordsError(f"{what}: {printable}") from error


def _words(content_type: str, body: bytes) -> str:
    """What the venue says: the `error` of a JSON object, or plain text."""
    if content_type == "application/json":
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            told = None
        if isinstance(told, dict) and told.get("error"):
            return str(told["error"])
    if content_type == "text/plain" and body.strip():
        return body.decode("utf-8", "replace").strip()
    return f"{len(body)} bytes of {content_type}"
