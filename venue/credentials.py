"""Whether API credentials are those of the signer whose address stands beside them.

To be asked before the first question that matters: to credentials that are another's, the venue
says of each of our orders that it is not there.
"""

from __future__ import annotations

from typing import Final

import msgspec

from venue.auth import Credentials
from venue.checks import blame_the_clock
from venue.errors import (
    AccountRefusedError,
    VenueError,
    VenueRefusedError,
    one_line,
    refuses_who_asks,
)
from venue.rest import get_bytes, open_session
from venue.wire import endpoints
from venue.wire.errors import UNDECODABLE


class _Keys(msgspec.Struct):
    keys: list[str] = msgspec.field(name="apiKeys")


_decode_keys: Final = msgspec.json.Decoder(_Keys).decode


async def prove_credentials(
    clob_url: str, credentials: Credentials, variable: str = "API_KEY"
) -> None:
    """Ask for the signer's API keys, which the venue tells to nobody else.

    Raises AccountRefusedError, naming `variable`, when the venue itself does not take the
    credentials for the signer's, beside a clock that agrees with its own; VenueError, with one line
    that begins with the URL, when nothing is proven: ask again later.
    """
    what = f"{clob_url}{endpoints.API_KEYS}"
    try:
        async with open_session() as http:
            body = await get_bytes(http, clob_url, endpoints.API_KEYS, credentials=credentials)
        known = _decode_keys(body).keys
    except UNDECODABLE:
        raise VenueError(f"{what}: a success without API keys ({len(body)} bytes)") from None
    except VenueRefusedError as refused:
        if not refuses_who_asks(refused):
            raise VenueError(one_line(f"{what}: {refused}"), refused.status) from refused
        await blame_the_clock(clob_url, refused)
        text = f"{variable}: the venue does not take these API credentials for those of the signer"
        raise AccountRefusedError(one_line(f"{text} {credentials.address}: {refused}")) from refused
    except VenueError as error:
        raise VenueError(one_line(f"{what}: {error}"), error.status) from error
    if credentials.key not in known:
        raise AccountRefusedError(
            f"{variable}: not an API key of the signer {credentials.address}, says the venue"
        )
