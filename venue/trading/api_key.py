"""The API credentials that the venue gives a signing key: one signature, shown at two endpoints.

Written here although the official client has it: the client asks the second endpoint only after a
400, and of an answer it tells neither who wrote it nor when. Of the answers that are no success
only the venue's own refusal of the signature is final, and that only beside a clock that agrees
with the venue's: `401 Invalid L1 Request headers` is mostly the clock, and a 403 with a page is a
firewall's (Cloudflare), which may let the other endpoint through, or us a minute later.
"""

from __future__ import annotations

import time
from typing import Final, TypeGuard

import aiohttp
import msgspec
from eth_account.signers.local import LocalAccount
from polymarket.models.clob import ApiKeyCreds

from venue.auth import secret_bytes
from venue.checks import blame_the_clock
from venue.errors import (
    AccountRefusedError,
    VenueError,
    VenueRefusedError,
    one_line,
    refuses_who_asks,
)
from venue.rest import get_bytes, open_session
from venue.trading.official_client import login_headers
from venue.wire.errors import UNDECODABLE

CREATE: Final = "/auth/api-key"
DERIVE: Final = "/auth/derive-api-key"
_QUESTIONS: Final = (("POST", CREATE), ("GET", DERIVE))
"""In the official client's order: a key that was created before is not created again (400)."""
_OF_THE_KEY: Final = (
    "invalid l1 request",
    "invalid signature",
    "invalid api key",
    "address banned",
)
"""A 400 proves nothing by itself: the venue makes one of internal errors, too."""


class _Given(msgspec.Struct):
    key: str = msgspec.field(name="apiKey")
    secret: str
    passphrase: str


_decode_given: Final = msgspec.json.Decoder(_Given).decode


async def api_key_of(signer: LocalAccount, clob_url: str) -> ApiKeyCreds:
    """The signer's API credentials, created where there are none yet.

    Raises AccountRefusedError when the venue is proven to refuse the key; VenueError, with one line
    that begins with the URL, when nothing is proven: ask again later.
    """
    headers = login_headers(signer, int(time.time()))
    failures: list[VenueError] = []
    async with open_session() as http:
        for method, path in _QUESTIONS:
            try:
                return await _asked(http, clob_url, method, path, headers)
            except VenueError as failure:
                failures.append(failure)
    final = next(filter(_refuses_the_key, failures), None)
    if final is None:
        told = (
            f"{path}: {failure}" for (_, path), failure in zip(_QUESTIONS, failures, strict=True)
        )
        raise VenueError(one_line(f"{clob_url}: {'; '.join(told)}"), failures[-1].status)
    await blame_the_clock(clob_url, final)
    raise AccountRefusedError(one_line(f"PRIVATE_KEY: the venue refuses to log in: {final}"))


async def _asked(
    http: aiohttp.ClientSession, clob_url: str, method: str, path: str, headers: dict[str, str]
) -> ApiKeyCreds:
    body = await get_bytes(http, clob_url, path, method=method, signed=headers)
    try:
        given = _decode_given(body)
        usable = bool(secret_bytes(given.secret))
    except (*UNDECODABLE, ValueError):  # whose text may show what was given
        usable = False
    if not usable or not all(map(_fits_a_header, (given.key, given.passphrase))):
        raise VenueError(f"a success without API credentials ({len(body)} bytes)")
    return ApiKeyCreds.model_validate(
        {"apiKey": given.key, "secret": given.secret, "passphrase": given.passphrase}
    )


def _fits_a_header(part: str) -> bool:
    return bool(part) and part.isascii() and part.isprintable() and " " not in part


def _refuses_the_key(failure: VenueError) -> TypeGuard[VenueRefusedError]:
    if not (isinstance(failure, VenueRefusedError) and failure.own_word):
        return False
    text = failure.reason.lower()
    if failure.status == 400:
        return any(word in text for word in _OF_THE_KEY)
    return refuses_who_asks(failure)
