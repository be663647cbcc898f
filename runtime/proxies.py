"""Proxies of the environment: none of our clients uses one. One rule, because libraries have three.

Of themselves httpx and botocore take HTTP_PROXY and its like, each by rules of its own about
ALL_PROXY and NO_PROXY, aiohttp and picows do not, and nats-py cannot. A proxy also adds
answers that are not the venue's, and time between a book and its order.
"""

from __future__ import annotations

import os
from typing import Final

import structlog

_VARIABLES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "WS_PROXY", "WSS_PROXY", "ALL_PROXY")
_log = structlog.get_logger()


def ignore_proxies() -> None:
    """Make every library of this process connect directly, and say so where a proxy is named.

    To be called once, at start, before any client is made. By the environment, which is the one
    thing that all of them read; what the process starts (a credential_process) inherits it.
    """
    named = [name for name in _VARIABLES if os.environ.get(name) or os.environ.get(name.lower())]
    if named:
        _log.warning("proxy_not_used", variables=named)
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
