"""A copy of the state file while processes write to it.

SQLite's own copy: of one moment, page by page, and nobody waits for it. It is looked at before it
gets its name, which it gets whole, and never over another file. The decision log is not in it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from functions.adapters.sqlite.failures import code_of, store_error
from functions.adapters.sqlite.integrity import check_integrity
from functions.adapters.sqlite.look import Contents, contents_of, opened_to_look
from functions.adapters.sqlite.place import new_file

PAGES_AT_ONCE: Final = 4_096


def back_up(path: Path, target: Path, tell: Callable[[float], None] = lambda _: None) -> Contents:
    """Copy the state file `path` to the new file `target`; returns what the copy holds.

    `tell`: called with the share that is done. Blocks. Raises FileExistsError, OSError of the
    target; StoreError, of the file.
    """

    def told(_: int, left: int, pages: int) -> None:
        tell(1 - left / pages if pages else 1.0)

    try:
        with (
            opened_to_look(path) as source,
            new_file(target) as unnamed,
            closing(sqlite3.connect(unnamed, isolation_level=None)) as copy,
        ):
            # Held open, so that all pages are of this moment, however much is written meanwhile.
            source.execute("BEGIN")
            source.execute("SELECT 1 FROM accounts").fetchone()
            source.backup(copy, pages=PAGES_AT_ONCE, progress=told)
            copy.execute("PRAGMA journal_mode = DELETE")  # all of it in one file
            check_integrity(copy, path, within_s=None)
            contents = contents_of(copy)
    except sqlite3.Error as error:
        full = code_of(error) == sqlite3.SQLITE_FULL  # what is copied is not written to
        raise store_error("backup", target if full else path, error) from error
    return contents
