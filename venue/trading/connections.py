"""The connections of the official client: what comes over them is bounded, is an answer to what
was asked, and repeats no credentials. Internals of httpx and httpcore are used here, and nowhere
else.

1. An answer is given up beyond its bound, before it is unpacked: none is asked for compressed, and
   one that comes so is not read (a kilobyte may unpack to a gigabyte).
2. HTTP/1.1 does not say which request an answer belongs to. Bytes that came after the end of an
   answer would be taken for the answer to the next request on that connection: the refusal of one
   order for that of another, which was filled. httpcore sees such bytes in the socket, but not
   those that it has read already, or that TLS holds. So a connection with bytes left is closed.
   What comes only after the next request has left cannot be told from its answer.
3. An answer may repeat the request, and the client's errors and ours quote it: they are stored,
   published and shown. So the credentials are blotted out before anything reads it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import httpx
from polymarket import AsyncSecureClient
from polymarket.clients._transport import AsyncTransport
from polymarket.models.clob import ApiKeyCreds

from venue.auth import blotted
from venue.rest import ANSWER_BYTES_MAX

ORDER_ANSWER_BYTES_MAX: Final = 32 << 10
"""An answer to an order has less than one kilobyte, and 40 bytes a trade. Less than httpcore reads
at once: what it has read beyond an answer is then all in one place."""


def bound_answers(client: AsyncSecureClient) -> None:
    """Bound all answers to a new client."""
    ctx = client._ctx
    named = [getattr(ctx, field.name) for field in dataclasses.fields(ctx)]
    for each in (*named, ctx.rpc._transport):
        if isinstance(each, AsyncTransport):
            bound(each, ctx.credentials)


def bound(transport: AsyncTransport, given: ApiKeyCreds, bytes_max: int = ANSWER_BYTES_MAX) -> None:
    """Give up answers of more than `bytes_max` bytes, with httpx.HTTPError; show no credentials."""

    def without_credentials(text: str) -> str:
        return blotted(text, given.key, given.secret, given.passphrase)

    async def before_reading(response: httpx.Response) -> None:
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding.strip().lower() not in ("identity", ""):
            raise httpx.DecodingError(f"a compressed answer: {encoding[:40]}")
        # Of this request alone: plain, because what it is made of no JSON or URL writes otherwise.
        signature = response.request.headers.get("POLY_SIGNATURE", "").rstrip("=")

        def blot(text: str) -> str:
            text = without_credentials(text)
            return text.replace(signature, "***") if signature else text

        response.headers = httpx.Headers(
            [(name, blot(value)) for name, value in response.headers.multi_items()]
        )
        response.stream = _Bounded(response.stream, bytes_max, blot)  # type: ignore[arg-type]  # async

    http = transport._client
    http.headers["Accept-Encoding"] = "identity"
    http.event_hooks = {**http.event_hooks, "response": [before_reading]}


class _Bounded(httpx.AsyncByteStream):
    def __init__(
        self, stream: httpx.AsyncByteStream, bytes_max: int, blot: Callable[[str], str]
    ) -> None:
        self._stream = stream
        self._bytes_max = bytes_max
        self._blot = blot

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body = bytearray()
        async for chunk in self._stream:
            body += chunk
            if len(body) > self._bytes_max:
                raise httpx.ReadError(f"more than {self._bytes_max} bytes")
        yield self._blot(body.decode("latin-1")).encode("latin-1")  # as one: none is cut in two

    async def aclose(self) -> None:
        await self._stream.aclose()


async def close_what_has_more(transport: AsyncTransport) -> None:
    """Close the connections on which more has come than was asked for."""
    pool = transport._client._transport._pool  # type: ignore[attr-defined]
    for each in list(pool.connections):
        connection = each._connection
        if connection is not None and connection.is_idle() and _has_more(connection):
            await connection.aclose()


def _has_more(connection: Any) -> bool:
    if connection._h11_state.trailing_data[0]:
        return True
    stream = connection._network_stream
    decrypted = stream.get_extra_info("ssl_object")
    encrypted = getattr(stream._stream, "_read_bio", None)
    return bool(
        (decrypted is not None and decrypted.pending())
        or (encrypted is not None and encrypted.pending)
    )
