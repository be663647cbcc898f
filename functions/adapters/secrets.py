"""Secrets Manager: one secret's text, by name or ARN. Never shown, logged or kept here."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from functions.adapters.aws_answers import AwsHttp, ForeignAnswerError
from functions.adapters.aws_session import sdk_session

TIMEOUT_S: Final = 8.0
"""Asked once a cold start; two tries, a handshake and the SDK's pause between them fit in."""
_CONFIG: Final = AioConfig(
    http_session_cls=AwsHttp,
    proxies={},  # none, whatever the environment names (docs/reference/configuration.md)
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 2},
)
_FAILURES: Final = (
    BotoCoreError,
    ClientError,
    ResponseParserError,
    aiohttp.ClientError,
    OSError,
    # What the SDK lets through, as in `functions.adapters.dynamodb.table`.
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,  # a time of expiry that no clock shows
    RuntimeError,  # credentials that are renewed, and have expired (RecursionError is one)
)


class SecretError(Exception):
    """The secret cannot be had; the text is one line that names the variable, never a value."""


async def secret_text(secret_id: str, *, region: str, variable: str) -> str:
    """The text of the secret that `variable` names, without space around it.

    The endpoint is the SDK's own, which `AWS_ENDPOINT_URL` moves. Raises SecretError.
    """
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            sdk_session().create_client(
                "secretsmanager", region_name=region, config=_CONFIG
            ) as client,
        ):
            reply = await client.get_secret_value(SecretId=secret_id)
    except TimeoutError:
        raise SecretError(f"{variable}: no answer within {TIMEOUT_S:g} s") from None
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        raise SecretError(f"{variable}: Secrets Manager refuses to tell it: {code}") from None
    except ForeignAnswerError as error:
        raise SecretError(f"{variable}: Secrets Manager in {region}: {error}") from None
    except _FAILURES as error:
        text = f"{variable}: Secrets Manager in {region} cannot be asked: {type(error).__name__}"
        raise SecretError(text) from None
    text = (reply.get("SecretString") or "").strip()
    if not text:
        raise SecretError(f"{variable}: the secret holds no text")
    return text
