"""The SDK's client, past which the writes go that every order makes.

A claim is one of them, and an order waits for it; the others are what is recorded of it afterwards
(its answer, its row of the ledger, its decision), on the same loop as the next order. On its way
through the SDK's client a request passes many hooks, a serializer and a parser that are driven by
the service's description, and the rules that find the endpoint. Here it is written and signed, and
that is all: little more than half of the CPU (`benchmarks/claim_latency.py`). Whatever decides
something stays the SDK's own:

    what                      whose
    endpoint, signing region  the SDK's client says them once, in a presigned URL (no call)
    credentials, renewed      the session's, asked for each try
    signature                 `botocore.auth.SigV4Auth`
    connections, timeouts,    the client's own `AwsHttp`: the same pool, kept warm by the store's
    certificates, answers     reads, and the same check of whose answer it is
    refusals and errors       the SDK's parser, and its exceptions
    another try, or not       the SDK's conditions and pause ("standard"), as configured, and its
                              kind of quota

Nothing else sends a request again: aiohttp repeats only GET and its like when a kept connection
turns out closed (`aiohttp.client.IDEMPOTENT_METHODS`), never a POST. A second try is the same
bytes under a new signature: the same attempt, the same token of a transaction.

The quota, by which failures without end are soon not tried twice any more, is this client's own.
The SDK's is in a closure of its client, which reads go through. So reads that fail take no second
try from a claim, nor writes from a read; together both may try again twice as often before they
stop, 200 times, and with two tries a call (`ATTEMPTS_MAX`) that is at most one request more for
each that was made anyway.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec
from aiobotocore.retries.standard import AioStandardRetryConditions
from botocore.auth import SigV4Auth
from botocore.parsers import create_parser
from botocore.retries.quota import RetryQuota
from botocore.retries.standard import ExponentialBackoff, RetryContext, RetryQuotaChecker

_encode: Final = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Request:
    """What the SDK's signer and its HTTP look at."""

    url: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"
    params: dict[str, str] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    stream_output: bool = False


class DirectClient:
    """The calls of the SDK's client `sdk`, with its parameters, answers and errors.

    `credentials`: the session's, None where there are none.
    """

    def __init__(self, sdk: Any, credentials: Any) -> None:
        self._sdk = sdk
        self._credentials = credentials
        self._http = sdk._endpoint.http_session
        self._place: tuple[str, str] | None = None
        self._parser: Any = create_parser("json")
        self._conditions: Any = AioStandardRetryConditions(
            max_attempts=sdk.meta.config.retries["total_max_attempts"]
        )
        self._quota: Any = RetryQuotaChecker(RetryQuota())
        self._pause: Any = ExponentialBackoff()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sdk, name)

    async def update_item(self, **request: Any) -> Any:
        """UpdateItem."""
        return await self._call("UpdateItem", request)

    async def transact_write_items(self, **request: Any) -> Any:
        """TransactWriteItems, with a token: a second try of what was done is a success."""
        return await self._call(
            "TransactWriteItems", {"ClientRequestToken": str(uuid.uuid4()), **request}
        )

    async def put_item(self, **request: Any) -> Any:
        """PutItem."""
        return await self._call("PutItem", request)

    async def batch_write_item(self, **request: Any) -> Any:
        """BatchWriteItem; what was not taken is in its answer."""
        return await self._call("BatchWriteItem", request)

    async def _call(self, operation: str, request: dict[str, Any]) -> Any:
        body, of_call, tries = _encode(request), dict[str, Any](), 0
        model = self._sdk.meta.service_model.operation_model(operation)
        while True:
            signed, tries = await self._signed(operation, body), tries + 1
            answer: Any = None
            parsed: Any = None
            failed: Exception | None = None
            try:
                answer = await self._http.send(signed)
            except Exception as error:  # noqa: BLE001 - the SDK's conditions tell them apart
                failed = error
            else:
                parsed = self._parsed(answer, await answer.content, model)
                if answer.status_code < 300:
                    self._quota.release_retry_quota(of_call, answer)
                    return parsed
            context = RetryContext(
                attempt_number=tries,
                operation_model=model,
                parsed_response=parsed,
                http_response=answer,
                caught_exception=failed,
                request_context=of_call,
            )
            again = await self._conditions.is_retryable(context)
            if again and self._quota.acquire_retry_quota(context):
                await asyncio.sleep(self._pause.delay_amount(context))
            elif failed is not None:
                raise failed
            else:
                tried = {"RetryAttempts": tries - 1, **context.get_retry_metadata()}
                parsed["ResponseMetadata"].update(tried)  # the error's text says it
                raise self._sdk.exceptions.from_code(parsed["Error"]["Code"])(parsed, operation)

    async def _signed(self, operation: str, body: bytes) -> _Request:
        if self._place is None:
            self._place = await self._found_place()
        url, region = self._place
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "User-Agent": self._sdk.meta.config.user_agent,
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        }
        request = _Request(url, headers, body)
        frozen = await self._credentials.get_frozen_credentials()
        signer: Any = SigV4Auth(frozen, "dynamodb", region)
        signer.add_auth(request)
        return request

    async def _found_place(self) -> tuple[str, str]:
        """URL and signing region. With the first call, since both may be of the credentials: the
        endpoint may have the account's number in it. Fails as the SDK's own calls would."""
        url = await self._sdk.generate_presigned_url(
            "update_item", Params={"TableName": "any", "Key": {}}, HttpMethod="POST"
        )
        [scope] = parse_qs(urlsplit(url).query)["X-Amz-Credential"]
        return url.partition("?")[0], scope.split("/")[-3]  # a key may have a slash

    def _parsed(self, answer: Any, body: bytes, model: Any) -> Any:
        if answer.status_code < 300 and body == b"{}":
            return {}  # of nearly every claim
        response = {
            "status_code": answer.status_code,
            "headers": answer.headers,
            "body": body,
            "context": {"operation_name": model.name},
        }
        parsed = self._parser.parse(response, model.output_shape)
        if answer.status_code >= 300:
            shape = model.service_model.shape_for_error_code(parsed["Error"]["Code"])
            if shape is not None:
                parsed.update(self._parser.parse(response, shape))
        return parsed
