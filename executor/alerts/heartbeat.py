"""The dead man's ping: a GET of HEARTBEAT_URL each minute while all is well.

Well is: the last look at the system is recent and complete (every account was read, and where a
supervisor tells of a system, its processes and the schedule were), no alarm holds, and no service
refuses alerts. A halt, or a day's limit that was reached, is somebody's will: that is well.

Silence is the alarm: when not well nothing is asked, and no failure is reported to anybody. A
redirect is not followed, for the URL is a secret and who it leads to is not known: it counts as
failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import aiohttp
import structlog
from pydantic import SecretStr

from executor.alerts.sending import AlertMetrics
from runtime.line_throttle import LineThrottle

EVERY_S: Final = 60.0
TIMEOUT_S: Final = 10.0
SAY_EVERY_S: Final = 3_600.0
_log = structlog.get_logger()


class Heartbeat:
    """Until cancelled."""

    def __init__(
        self,
        url: SecretStr,
        well: Callable[[], bool],
        metrics: AlertMetrics,
        every_s: float = EVERY_S,
    ) -> None:
        self._url = url
        self._well = well
        self._metrics = metrics
        self._every_s = every_s
        self._throttle = LineThrottle(SAY_EVERY_S)

    async def run(self) -> None:
        """Ping while well."""
        while True:
            if self._well():
                why = await pinged(self._url)
                self._metrics.heartbeats.labels("failed" if why else "done").inc()
                if why and (unlogged := self._throttle.admit()) is not None:
                    _log.warning("heartbeat_not_sent", why=why, unlogged_before=unlogged)
            else:
                self._metrics.heartbeats.labels("withheld").inc()
            await asyncio.sleep(self._every_s)


async def pinged(url: SecretStr) -> str | None:
    """One GET; None when it was answered with 2xx, else why not, without the URL. Raises nothing.

    The body is not read: whatever it is, the status has said all.
    """
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url.get_secret_value(), allow_redirects=False) as answer,
        ):
            status = answer.status
    except TimeoutError:
        return f"no answer within {TIMEOUT_S:g} s"
    except (aiohttp.ClientError, OSError, ValueError) as error:  # whose texts may show the URL
        return type(error).__name__
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"HTTP {status}: it leads elsewhere: set HEARTBEAT_URL to where it leads"
    return f"HTTP {status}"
