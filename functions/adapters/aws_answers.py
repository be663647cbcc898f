"""Whether an answer is AWS's own, for every client of the SDK: else it is an error, never a reply.

The SDK reads a success leniently: of a body that is no JSON it makes an empty reply. So a page that
a proxy or a guest network's portal puts in the place of an answer would be a durable write. An
answer is AWS's when

1. its status is 200, or that of an error (400 and above): redirects are not followed;
2. it names the request: `x-amzn-RequestId`;
3. and, from services that speak JSON: its type is `application/x-amz-json-1.0` or `-1.1`, its body
   is one JSON object, and its checksum, where it has one, is that of the body (`x-amz-crc32`, which
   DynamoDB sends with each answer).

Of refusals that is asked, too: a refused condition may show our own claim. Sources: Amazon DynamoDB
Developer Guide, "DynamoDB low-level API" (the marks of an answer); awslabs/smithy, "AWS JSON 1.0
protocol". What cannot be told: somebody who copies all of it, or an older answer of DynamoDB's own.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import msgspec
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import HTTPClientError

_JSON_TYPES: Final = frozenset({"application/x-amz-json-1.0", "application/x-amz-json-1.1"})
_OTHER_TYPES: Final = frozenset({"text/xml", "application/xml", "application/json"})
ANSWER_BYTES_MAX: Final = 16 << 20
"""DynamoDB's largest answer holds 1 MB of items, which its JSON makes a few times larger (a batch:
16 MB, which is not asked for)."""
_decode: Final = msgspec.json.Decoder().decode


class ForeignAnswerError(HTTPClientError):
    """Somebody else has answered; of this kind, the SDK sends a request once more."""

    fmt = "{error}"


def check_answer(
    status: int, headers: Mapping[str, str], body: bytes, *, is_json: bool = True
) -> None:
    """Raises ForeignAnswerError, whose text repeats nothing of the answer but its status.

    `is_json`: whether the service speaks AWS JSON, as DynamoDB and Secrets Manager do.
    """
    known = {name.lower(): headers[name] for name in headers}
    kind = known.get("content-type", "").partition(";")[0].strip().lower()
    if len(body) > ANSWER_BYTES_MAX:
        why = "it is larger than any of AWS's"
    elif status != 200 and status < 400:
        why = "it is neither a success nor a refusal"
    elif not known.get("x-amzn-requestid"):
        why = "it names no request"
    elif kind not in (_JSON_TYPES if is_json else _OTHER_TYPES):
        why = "it is of another type"
    else:
        why = _damage(known.get("x-amz-crc32"), body) if is_json else ""
    if why:
        raise ForeignAnswerError(
            error=f"HTTP {status} is not AWS's answer: {why}; see what stands in between (a proxy,"
            " a portal), or what the endpoint is"
        )


def _damage(checksum: str | None, body: bytes) -> str:
    if checksum is not None and checksum.strip() != str(zlib.crc32(body)):
        return "its checksum is another body's"
    try:
        decoded = _decode(body)
    except (ValueError, RecursionError):  # msgspec.DecodeError is a ValueError
        return "it is no JSON"
    return "" if isinstance(decoded, dict) else "it is no JSON object"


class AwsHttp(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore has no types
    """aiobotocore's HTTP, for services that speak AWS JSON: `AioConfig(http_session_cls=AwsHttp)`.

    Here, below the SDK's own reading and its retries, an answer that is not AWS's is what a broken
    connection is. Overrides one method that is internal to aiobotocore, which offers no way to not
    follow redirects; a test with each kind of redirect covers it.
    """

    async def send(self, request: Any) -> Any:
        """Send once, and check the answer. Raises ForeignAnswerError."""
        answer = await super().send(request)
        check_answer(answer.status_code, answer.headers, await answer.content)
        return answer

    async def _get_session(self, proxy_url: str | None) -> Any:
        session = await super()._get_session(proxy_url)
        return SimpleNamespace(request=partial(_request, session))


async def _request(session: aiohttp.ClientSession, *args: Any, **named: Any) -> Any:
    response: Any = await session.request(*args, allow_redirects=False, **named)
    response.read = partial(_read, response)
    return response


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, or a little more of it than `check_answer` takes: a stream may have no end."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            response.close()
            break
    return bytes(body)


def refuse_foreign_answers(client: Any) -> None:
    """The same for a client of botocore's own, of any service; it follows no redirect by itself."""
    client.meta.events.register("before-parse", _check_before_parsing)


def _check_before_parsing(operation_model: Any, response_dict: Any, **_: Any) -> None:
    is_json = operation_model.service_model.resolved_protocol == "json"
    headers = response_dict["headers"]
    check_answer(response_dict["status_code"], headers, response_dict["body"], is_json=is_json)
