"""One DynamoDB table through the SDK: every call is bounded, every failure is one line.

Updates and transactions go past the SDK's client, by its rules: `DirectClient`.

After a StoreError nobody knows whether the write happened. StoreBusyError says that the last try
was refused before anything was written; since there are two tries by themselves, an earlier one may
still have been written, so callers repeat only what is idempotent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from aiobotocore.config import AioConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
)
from botocore.parsers import ResponseParserError

from functions.adapters.aws_answers import AwsHttp
from functions.adapters.aws_mistakes import (
    mistake,
    mistake_in,
    mistake_of_client,
    without_credentials,
)
from functions.adapters.aws_session import sdk_session
from functions.adapters.dynamodb.direct_client import DirectClient
from functions.adapters.dynamodb.items import Item
from functions.ports import (
    StoreBusyError,
    StoreDeniedError,
    StoreError,
    StoreMisconfiguredError,
    StoreRefusedError,
)

CONNECT_TIMEOUT_S: Final = 1
READ_TIMEOUT_S: Final = 2  # AWS answers in milliseconds; after this a book is too old anyway
ATTEMPTS_MAX: Final = 2  # one retry: enough for a connection that the server closed while idle
# Two tries and the SDK's pause of up to a second between them, plus what the two timeouts do not
# cover: name resolution, waiting for a free connection, fetching credentials.
CALL_TIMEOUT_S: Final = 8
CONNECTIONS_MAX: Final = 16
# Making a client may run the profile's credential_process, which may ask a person for a code.
CLIENT_TIMEOUT_S: Final = 30

_CONFIG: Final = AioConfig(
    http_session_cls=AwsHttp,
    proxies={},  # none, whatever the environment names (docs/reference/configuration.md)
    connect_timeout=CONNECT_TIMEOUT_S,
    read_timeout=READ_TIMEOUT_S,
    retries={"mode": "standard", "total_max_attempts": ATTEMPTS_MAX},
    max_pool_connections=CONNECTIONS_MAX,
    # These two take a fifth off the client CPU of a call that goes through the SDK (measured
    # 2026-11): each is one of the few of our own, tested against a server, and needs no second
    # validation and no self-description.
    parameter_validation=False,
    user_agent="streaming-executor",
)
_FAILURES: Final = (
    BotoCoreError,
    ClientError,
    ResponseParserError,
    aiohttp.ClientError,
    OSError,  # TimeoutError is one
    # What the SDK lets through, of credentials that cannot be read (the output of a process, a
    # cached token) and of an answer in which a part has another form.
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,  # a time of expiry that no clock shows
    RuntimeError,  # credentials that are renewed, and have expired (RecursionError is one)
)
# A transaction of somebody else (a backup, a repair) holds the item, or the table has no capacity.
_BUSY_CODES: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TransactionConflictException",
    }
)
_REFUSED: Final = "ConditionalCheckFailed"
# What is written is too long, too large, or no number that it can hold.
_REFUSED_CODES: Final = frozenset({"ValidationException", "SerializationException"})
_DENIED_CODES: Final = frozenset({"AccessDeniedException"})
# What DynamoDB says where the table has other keys, or an index on attributes of another type, or
# where no table can have this name.
_ANOTHER_TABLE: Final = re.compile(r"\bkey\b|tableName", re.IGNORECASE)


class MissingPathError(StoreError):
    """A part of the item is not there in which something was to be written: nothing was."""


class ConditionFailedError(Exception):
    """The write's condition did not hold; `item` is what refused it (None: there is no item).

    Of a transaction, `refused` says which of its writes were, and `items` has what refused them,
    where it was asked for; `item` is the first one.
    """

    def __init__(self, *items: Item | None, refused: tuple[bool, ...] = (True,)) -> None:
        super().__init__("the condition did not hold")
        self.item = items[0]
        self.items = items
        self.refused = refused


@asynccontextmanager
async def open_client(*, region: str, endpoint_url: str | None) -> AsyncIterator[Any]:
    """The SDK's client, past which the writes go; connections are released with the context.

    Credentials come from the environment, as the SDK finds them. Makes no call to DynamoDB. Raises
    StoreMisconfiguredError, or StoreError when who gives the credentials does not.
    """
    async with AsyncExitStack() as stack:
        try:
            # Not through aioboto3, which loads boto3, too, for nothing but its resources.
            session = sdk_session()
            opening = session.create_client(
                "dynamodb", region_name=region, endpoint_url=endpoint_url, config=_CONFIG
            )
            async with asyncio.timeout(CLIENT_TIMEOUT_S):
                client = await stack.enter_async_context(opening)
                credentials = await session.get_credentials()
                line = mistake_in(credentials)
        except TimeoutError:
            raise StoreError(f"no AWS credentials within {CLIENT_TIMEOUT_S} s") from None
        except _FAILURES as error:
            if (line := mistake_of_client(error)) is not None:
                raise StoreMisconfiguredError(line) from error
            raise StoreError(f"{without_credentials(error)}: {_one_line(error)}") from error
        if line is not None:
            raise StoreMisconfiguredError(line)
        yield DirectClient(client, credentials)


class Table:
    """The calls that are used, with the table's name in them.

    `variable` is the setting that names it, for the message that there is no such table.
    """

    def __init__(self, client: Any, name: str, variable: str) -> None:
        self._client = client
        self.name = name
        self._variable = variable

    async def update(self, what: str, **request: Any) -> Any:
        """UpdateItem. Raises ConditionFailedError with the item as it stands."""
        return await self._call(
            what,
            self._client.update_item(
                TableName=self.name, ReturnValuesOnConditionCheckFailure="ALL_OLD", **request
            ),
        )

    async def transact(self, what: str, *writes: dict[str, Any]) -> None:
        """TransactWriteItems: all of `writes` or none. Raises ConditionFailedError."""
        named = [
            {kind: {"TableName": self.name, **request}}
            for write in writes
            for kind, request in write.items()
        ]
        await self._call(what, self._client.transact_write_items(TransactItems=named))

    async def put(self, what: str, **request: Any) -> None:
        """PutItem. Raises ConditionFailedError."""
        await self._call(what, self._client.put_item(TableName=self.name, **request))

    async def get(self, what: str, **request: Any) -> Item | None:
        """GetItem; None when there is none."""
        reply = await self._call(what, self._client.get_item(TableName=self.name, **request))
        item: Item | None = reply.get("Item")
        return item

    async def query(self, what: str, *, pages_max: int, **request: Any) -> list[Item]:
        """Query, page by page. Raises StoreError when there are more than `pages_max`."""
        items: list[Item] = []
        for _ in range(pages_max):
            reply = await self._call(what, self._client.query(TableName=self.name, **request))
            if not isinstance(reply.get("Items"), list):
                raise StoreError(
                    f"{what}: table {self.name} at {self._where()}: no rows in the answer"
                )
            items.extend(reply["Items"])
            if "LastEvaluatedKey" not in reply or len(items) >= request.get("Limit", 1 << 30):
                return items
            request["ExclusiveStartKey"] = reply["LastEvaluatedKey"]
        raise StoreError(f"{what}: more than {pages_max} pages")

    async def describe(self, what: str) -> Any:
        """`describe_table` and the like: operations that want nothing but the table's name."""
        return await self._call(what, getattr(self._client, what)(TableName=self.name))

    async def put_batch(self, what: str, requests: list[Any]) -> list[Any]:
        """BatchWriteItem; returns what was not taken."""
        reply = await self._call(
            what, self._client.batch_write_item(RequestItems={self.name: requests})
        )
        left: list[Any] = reply.get("UnprocessedItems", {}).get(self.name, [])
        return left

    async def close(self) -> None:
        """Release connections."""
        await self._client.close()

    async def _call(self, what: str, call: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await call
        except ClientError as error:
            response: Any = error.response
            code = response.get("Error", {}).get("Code", "")
            if code == "ConditionalCheckFailedException":
                raise ConditionFailedError(response.get("Item")) from None
            if code == "TransactionCanceledException":
                reasons = _codes(response.get("CancellationReasons"))
                if _REFUSED in reasons:
                    refused = tuple(code == _REFUSED for code in reasons)
                    items = map(_item, response["CancellationReasons"])
                    raise ConditionFailedError(*items, refused=refused) from None
                if "ValidationError" in reasons:
                    raise MissingPathError(self._failed(what, error)) from error
                code = "TransactionConflictException"  # another reason is that somebody was faster
            if code == "ResourceNotFoundException":
                raise StoreError(
                    f"{self._variable}: there is no table {self.name} at {self._where()}; it is"
                    " created by deploying infra/state.yml, never by this process; or is it in"
                    " another region (AWS_REGION) or account?"
                ) from error
            if code == "ValidationException" and _ANOTHER_TABLE.search(str(error)):
                raise StoreMisconfiguredError(
                    f"{self._variable}: {self.name} at {self._where()} is no table of ours, whose"
                    f" keys are pk and sk (S): {_one_line(error)}; name the one of infra/state.yml"
                ) from error
            if code == "ValidationException" and "document path" in str(error):
                raise MissingPathError(self._failed(what, error)) from error
            kinds: dict[type[StoreError], frozenset[str]] = {
                StoreBusyError: _BUSY_CODES,
                StoreRefusedError: _REFUSED_CODES,
                StoreDeniedError: _DENIED_CODES,
            }
            kind = next((each for each, codes in kinds.items() if code in codes), StoreError)
            raise kind(self._failed(what, error)) from error
        except (EndpointConnectionError, ConnectTimeoutError) as error:
            raise StoreBusyError(self._failed(what, error)) from error
        except _FAILURES as error:
            if (line := mistake(error)) is not None:
                raise StoreMisconfiguredError(line) from error
            raise StoreError(self._failed(what, error)) from error

    def _failed(self, what: str, error: Exception) -> str:
        where, hint = self._where(), ""
        if isinstance(error, EndpointConnectionError) and where.endswith("amazonaws.com"):
            hint = " (AWS_REGION is a part of this name)"
        return f"{what}: table {self.name} at {where}{hint}: {_one_line(error)}"

    def _where(self) -> str:
        """Host and port only: a URL may carry a password."""
        endpoint_url: str = self._client.meta.endpoint_url
        return urlsplit(endpoint_url).netloc.rpartition("@")[2]


def _codes(reasons: Any) -> list[str]:
    """One for each write, empty where it cannot be read: what only looks like a reason tells
    nothing."""
    listed = reasons if isinstance(reasons, list) else []
    codes = [each.get("Code") if isinstance(each, dict) else "" for each in listed]
    return [code if isinstance(code, str) else "" for code in codes]


def _item(reason: Any) -> Item | None:
    item = reason.get("Item") if isinstance(reason, dict) else None
    return item if isinstance(item, dict) and item else None


def _one_line(error: Exception) -> str:
    """Kind and text of a failure, on one bounded line, without the URL that botocore prints."""
    cause = getattr(error, "kwargs", {}).get("error", error)
    text = " ".join(str(cause).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
