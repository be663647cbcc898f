"""The limits of an account as they are in force, for who only looks at it."""

from __future__ import annotations

import structlog

from functions.core.account import Limits
from functions.core.configuration import ConfigurationError, settings_in
from functions.ports import Store

_log = structlog.get_logger()


async def limits_in_force(store: Store, otherwise: Limits) -> Limits:
    """Those of the stored configuration; `otherwise` before there is one, and where this version of
    the software cannot read it (which is logged). Raises StoreError."""
    row = await store.configuration()
    if row is None:
        return otherwise
    try:
        return settings_in(row).limits(row.version)
    except ConfigurationError as error:
        _log.error("configuration_unreadable", version=row.version, error=str(error))
        return otherwise
