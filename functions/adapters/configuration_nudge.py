"""The nudge that a configuration has changed, on core NATS: it may be lost, or a stranger's.

Whoever gets one looks at the store; what it says is not believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from protocol.subjects import config_subject
from runtime.nats import close, connect_once
from runtime.nats_settings import NatsSettings

NUDGE_TIMEOUT_S: Final = 1.0
_log = structlog.get_logger()


async def follow_nudges(nc: Client, account_name: str, look: Callable[[], None]) -> None:
    """Call `look` for each nudge while the connection lasts. Raises nothing: it only helps."""

    async def nudged(_: Msg) -> None:
        look()

    try:
        await nc.subscribe(config_subject(account_name), cb=nudged)
    except (NatsError, OSError) as error:
        what = f"{type(error).__name__}: {error}"
        _log.warning("nudges_not_followed", account=account_name, error=what)


async def nudge(settings: NatsSettings, account_name: str, version: int) -> bool:
    """Tell the workers, if NATS answers within a second. Raises nothing: it only helps."""
    nc: Client | None = None
    try:
        async with asyncio.timeout(NUDGE_TIMEOUT_S):
            nc = await connect_once(settings.nats_url, "executor", settings.nats_login())
            await nc.publish(config_subject(account_name), str(version).encode())
            await nc.flush()
            return True
    except (NatsError, OSError, ValueError):  # TimeoutError is an OSError
        return False
    finally:
        if nc is not None:
            await close(nc)
