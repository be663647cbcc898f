from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from functions.adapters.sqlite.store import SqliteStore
from tests.support.sqlite_stores import SqliteTable, state_file, store_in

__all__ = ["state_file"]


@pytest.fixture
def table(state_file: Path) -> SqliteTable:
    """The state file as a person with `sqlite3` sees it."""
    return SqliteTable(state_file)


@pytest.fixture
async def store(state_file: Path) -> AsyncIterator[SqliteStore]:
    async with store_in(state_file) as opened:
        yield opened
