"""One SQLite file as it is used: opened when it is first asked, read and written on its thread.

1. A write is one IMMEDIATE transaction: what it looks at cannot change before it has written.
2. Each write looks whether the file, its log and its locks are still those under their names, and
   still of our schema. A folder that was removed under a running worker, and made again by another
   one, would otherwise be two stores, of which none knows the other's claims; and what is written
   to a log that somebody removed is lost with the last process that has it open. Who only looks
   goes on with the file that is there by now: what a removed one holds is shown to nobody.
3. After a failure that is not about the lock or the room, the file is opened anew: by then it may
   have been mended.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeVar

from functions.adapters.sqlite.failures import store_error
from functions.adapters.sqlite.place import check_folder, check_log_beside, make
from functions.adapters.sqlite.schema import Schema
from functions.adapters.sqlite.thread import SqlThread
from functions.ports import (
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreMisconfiguredError,
    StoreRefusedError,
)

LOCK_WAIT_MS: Final = 1_000
"""For another process's transaction: a book lives about a second."""
Synchronous = Literal["FULL", "NORMAL"]
"""FULL: what was answered survives a power cut. NORMAL: a killed process; a power cut may take the
last writes, all of each, and never an earlier one without a later one."""
Work = Callable[[sqlite3.Connection], "_T"]
_T = TypeVar("_T")
_HARMLESS: Final = (StoreBusyError, StoreFullError, StoreRefusedError)


class SqliteFile:
    """Each call is bounded in time and raises StoreError."""

    def __init__(
        self,
        path: Path,
        schema: Schema,
        synchronous: Synchronous,
        on_open: Callable[[sqlite3.Connection], None] = lambda _: None,
    ) -> None:
        """`on_open`: called with each new connection; may raise StoreError."""
        self.path = path
        self._schema = schema
        self._synchronous = synchronous
        self._on_open = on_open
        self._thread = SqlThread(path.name)
        self._sql: sqlite3.Connection | None = None
        """Of the thread alone, as all below here."""
        self._names: tuple[str, ...] = ()
        self._identities: list[tuple[int, int]] = []
        self._follows = True
        """Whether who reads goes on with another file that has the name by now."""

    async def read(self, what: str, work: Work[_T]) -> _T:
        """What `work` reads of one moment. StoreMisconfiguredError where there is no file."""
        return await self._thread.run(what, partial(self._in_transaction, what, "BEGIN", work))

    async def write(self, what: str, work: Work[_T], *, create: bool = False) -> _T:
        """What `work` returns once all that it has written is durable. `create`: the file, too."""
        begin = "BEGIN IMMEDIATE"
        return await self._thread.run(
            what, partial(self._in_transaction, what, begin, work, create=create)
        )

    async def use(self, what: str, work: Work[_T]) -> _T:
        """What `work` returns, which begins and ends transactions itself."""
        return await self._thread.run(what, partial(self._with_connection, what, work))

    async def close(self) -> None:
        """Close the file; a later call opens it again. Raises nothing: a disk that does not answer
        has been told of by then."""
        with suppress(StoreError):
            await self._thread.run("close", self._drop)
        self._thread.end()

    # -- on the thread -----------------------------------------------------------------------------

    def _in_transaction(self, what: str, begin: str, work: Work[_T], *, create: bool = False) -> _T:
        reads_on = begin == "BEGIN" and self._follows

        def done(sql: sqlite3.Connection) -> _T:
            sql.execute(begin)
            try:
                if not reads_on:
                    self._check_still_ours(sql)
                result = work(sql)
                sql.execute("COMMIT")
            except BaseException:
                if sql.in_transaction:
                    with suppress(sqlite3.Error):
                        sql.execute("ROLLBACK")
                raise
            return result

        return self._with_connection(what, done, create=create, follow=create or reads_on)

    def _with_connection(
        self, what: str, work: Work[_T], *, create: bool = False, follow: bool = False
    ) -> _T:
        try:
            if follow and self._sql is not None and not self._has_its_names():
                self._drop()
            return work(self._opened(create=create))
        except StoreMisconfiguredError:
            self._drop()
            raise
        except sqlite3.Error as error:
            told = store_error(what, self.path, error)
            if not isinstance(told, _HARMLESS):
                self._drop()
            raise told from error
        except PermissionError as error:
            self._drop()
            raise StoreMisconfiguredError(
                f"STATE: {self.path} may not be used by this user: {error.strerror}"
            ) from error
        except OSError as error:
            self._drop()
            raise StoreError(f"{what}: {self.path}: {error.strerror or error}") from error

    def _opened(self, *, create: bool) -> sqlite3.Connection:
        if self._sql is not None:
            return self._sql
        check_folder(self.path)
        check_log_beside(self.path)
        if not self.path.exists():
            if not create:
                raise StoreMisconfiguredError(
                    f"STATE: there is no store {self.path} yet: a worker makes it when it starts"
                )
            make(self.path, self._schema)
        sql = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=LOCK_WAIT_MS / 1000,
            isolation_level=None,
        )
        try:
            if not self._schema.check(sql, self.path):
                self._schema.migrate(sql, self.path)
            self._log_ahead(sql)
            self._schema.check(sql, self.path)  # the first look: now log and locks are there
            real = os.path.realpath(self.path)  # where SQLite puts them
            self._names = (str(self.path), f"{real}-wal", f"{real}-shm")
            self._identities = self._identities_under_the_names()
            self._on_open(sql)
        except BaseException:
            sql.close()
            raise
        self._sql = sql
        return sql

    def _log_ahead(self, sql: sqlite3.Connection) -> None:
        if sql.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise StoreMisconfiguredError(
                f"STATE: {self.path} cannot have a write-ahead log here: name a local disk"
            )
        sql.execute(f"PRAGMA synchronous = {self._synchronous}")
        if self._synchronous == "FULL":
            sql.execute("PRAGMA fullfsync = ON")  # macOS: through the disk's cache, too

    def _check_still_ours(self, sql: sqlite3.Connection) -> None:
        if not self._has_its_names():
            raise StoreMisconfiguredError(
                f"STATE: {self.path}, its -wal or its -shm was removed or replaced while it was in"
                " use: start everything again"
            )
        if not self._schema.check(sql, self.path):
            raise StoreMisconfiguredError(
                f"STATE: {self.path} has become one of an older version while it was in use"
            )

    def _has_its_names(self) -> bool:
        """Whether what is open stands under its names still."""
        try:
            return self._identities_under_the_names() == self._identities
        except FileNotFoundError:
            return False

    def _identities_under_the_names(self) -> list[tuple[int, int]]:
        # With every claim: half the time of Path.stat.
        found = [os.stat(name) for name in self._names]  # noqa: PTH116
        return [(each.st_dev, each.st_ino) for each in found]

    def _drop(self) -> None:
        if self._sql is not None:
            with suppress(sqlite3.Error):
                self._sql.close()
            self._sql = None
