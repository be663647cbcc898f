"""Whether a file is whole, as far as can be told in bounded time."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Final

from functions.adapters.sqlite.failures import RESTORE
from functions.ports import StoreMisconfiguredError

CHECK_MAX_S: Final = 5.0
"""Some gigabytes; the rest of a larger file is looked at by `executor backup`."""
_STEPS_BETWEEN_LOOKS: Final = 10_000


def check_integrity(sql: sqlite3.Connection, path: Path, *, within_s: float | None) -> bool:
    """Whether all of it was looked at, indexes too: an account that its index has lost would be
    made anew. Raises StoreMisconfiguredError when it is damaged."""
    if within_s is not None:
        until_s = time.monotonic() + within_s
        sql.set_progress_handler(lambda: time.monotonic() > until_s, _STEPS_BETWEEN_LOOKS)
    try:
        said = str(sql.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return False
    finally:
        sql.set_progress_handler(None, 0)
    if said != "ok":
        line = " ".join(said.split())[:200]
        raise StoreMisconfiguredError(f"STATE: {path} is damaged ({line}): {RESTORE}")
    return True
