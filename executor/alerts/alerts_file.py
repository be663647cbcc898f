"""What has been told and what waits to be sent: `alerts.sqlite` in the data folder.

Memory is what counts while the process lives; the file is so that the next one knows. A disk that
is full or gone therefore stops no alert: what could not be written is tried again with the next
change, and a process that starts meanwhile may tell something a second time.

1. What is told and what waits because of it are one transaction.
2. An attempt is noted before it is made. One of which nobody knows whether it arrived is made
   again, 60 seconds later at the soonest: at least once, and never twice a minute.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import structlog

from executor.alerts.alert import Level
from executor.alerts.telling import APART_MS, AlertMessage, DecidedAlerts, ToldAlert, elapsed
from runtime.line_throttle import LineThrottle

FILE_NAME: Final = "alerts.sqlite"
VERSION: Final = 1
WAITING_MAX: Final = 200
"""Of a service: those that wait longest stay, later ones are given up."""
AT_ONCE_MAX: Final = 20
GIVEN_UP_AFTER_MS: Final = 6 * 3_600_000
"""A night without the internet is told of as far as it still matters."""
TEXT_MAX: Final = 2_000
LOCKED_S: Final = 0.3
_Row = TypeVar("_Row", bound=msgspec.Struct)
_log = structlog.get_logger()


class AlertsFileError(Exception):
    """The file cannot be used, and only a person can mend it; one line."""


class WaitingAlert(msgspec.Struct, frozen=True, kw_only=True):
    """A message for one service."""

    key: str
    level: Level
    text: str
    made_at_ms: int
    attempted_at_ms: int = 0
    """0: not yet."""
    sent: bool = False


class AlertsFile:
    """One process has it; a second one is refused."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = _opened(path)
        self._dirty: dict[tuple[str, str, str], bytes | None] = {}
        self._throttle = LineThrottle()
        self.told: dict[str, ToldAlert] = dict(self._rows("told", ToldAlert))
        self._numbers: dict[str, int] = {}
        self._waiting: dict[str, dict[str, WaitingAlert]] = {}
        for kind, service, key, value in self._db.execute("SELECT * FROM noted"):
            if kind == "waiting" and (row := _read(value, WaitingAlert)) is not None:
                self._waiting.setdefault(service, {})[key] = row
            elif kind == "number":
                self._numbers[key] = int(value)

    def close(self) -> None:
        """What could not be written until now is tried once more."""
        self._save()
        self._db.close()

    # -- numbers -----------------------------------------------------------------------------------

    def number(self, name: str) -> int | None:
        """What was noted under this name."""
        return self._numbers.get(name)

    def note(self, name: str, value: int) -> None:
        """Note a number."""
        self._numbers[name] = value
        self._put("number", "", name, str(value).encode())
        self._save()

    # -- what waits --------------------------------------------------------------------------------

    def take(self, decided: DecidedAlerts, services: Iterable[str], now_ms: int) -> dict[str, int]:
        """Remember what was decided, and let its messages wait for each service; for which of them
        there was no room for how many."""
        for key, told in decided.changed.items():
            if told is None:
                self.told.pop(key, None)
            else:
                self.told[key] = told
            self._put("told", "", key, None if told is None else msgspec.json.encode(told))
        lost: dict[str, int] = {}
        for service in services:
            waiting = self._waiting.setdefault(service, {})
            self._forget_sent(service, now_ms)
            unsent = sum(not each.sent for each in waiting.values())
            for message in decided.messages:
                earlier = waiting.get(message.key)
                if earlier is None and unsent >= WAITING_MAX:
                    lost[service] = lost.get(service, 0) + 1
                    continue
                unsent += earlier is None or earlier.sent
                self._wait(service, _joined(earlier, message, now_ms))
        if self._dirty:
            self._save()
        return lost

    def due(self, service: str, now_ms: int) -> list[WaitingAlert]:
        """What may be sent now, the longest waiting first; alarms before information."""
        rows = [
            row
            for row in self._waiting.get(service, {}).values()
            if not row.sent and elapsed(row.attempted_at_ms, APART_MS, now_ms)
        ]
        rows.sort(key=lambda row: (row.level != "alarm", row.made_at_ms))
        return rows[:AT_ONCE_MAX]

    def attempting(self, service: str, rows: Iterable[WaitingAlert], now_ms: int) -> None:
        """Before the attempt: should we die in it, it is made again, but not within a minute."""
        for row in rows:
            self._wait(service, msgspec.structs.replace(row, attempted_at_ms=now_ms))
        self._save()

    def sent(self, service: str, rows: Iterable[WaitingAlert]) -> None:
        """The service has taken them. What was added to one meanwhile still waits."""
        for row in rows:
            now = self._waiting.get(service, {}).get(row.key)
            if now is not None and now.text == row.text:
                self._wait(service, msgspec.structs.replace(now, sent=True, text=""))
            elif now is not None:
                later = now.text.removeprefix(row.text).lstrip("\n")
                self._wait(service, msgspec.structs.replace(now, text=later))
        self._save()

    def give_up(self, service: str, now_ms: int) -> int:
        """Take out what has waited too long; how many."""
        rows = self._waiting.get(service, {}).values()
        old = [r for r in rows if not r.sent and now_ms - r.made_at_ms > GIVEN_UP_AFTER_MS]
        for row in old:
            self._unwait(service, row.key)
        if old:
            self._save()
        return len(old)

    def waiting(self, service: str) -> int:
        """How many were not taken yet."""
        return sum(not row.sent for row in self._waiting.get(service, {}).values())

    def keep_only(self, services: Iterable[str]) -> int:
        """Forget what waits for others: their URLs are gone. How many were never sent."""
        wanted, lost = set(services), 0
        for service in [name for name in self._waiting if name not in wanted]:
            lost += self.waiting(service)
            for key in list(self._waiting[service]):
                self._unwait(service, key)
            del self._waiting[service]
        self._save()
        return lost

    def _forget_sent(self, service: str, now_ms: int) -> None:
        for row in list(self._waiting[service].values()):
            if row.sent and elapsed(row.attempted_at_ms, APART_MS, now_ms):
                self._unwait(service, row.key)

    def _wait(self, service: str, row: WaitingAlert) -> None:
        self._waiting.setdefault(service, {})[row.key] = row
        self._put("waiting", service, row.key, msgspec.json.encode(row))

    def _unwait(self, service: str, key: str) -> None:
        self._waiting[service].pop(key, None)
        self._put("waiting", service, key, None)

    # -- the file ----------------------------------------------------------------------------------

    def _rows(self, kind: str, struct: type[_Row]) -> Iterable[tuple[str, _Row]]:
        for key, value in self._db.execute("SELECT key, value FROM noted WHERE kind = ?", (kind,)):
            row = _read(value, struct)
            if row is not None:
                yield key, row

    def _put(self, kind: str, service: str, key: str, value: bytes | None) -> None:
        self._dirty[kind, service, key] = value

    def _save(self) -> None:
        """All that is not written yet, in one transaction; one line when it cannot be."""
        gone = [key for key, value in self._dirty.items() if value is None]
        there = [(*key, value) for key, value in self._dirty.items() if value is not None]
        try:
            with self._db:
                self._db.executemany(
                    "DELETE FROM noted WHERE kind = ? AND service = ? AND key = ?", gone
                )
                self._db.executemany("INSERT OR REPLACE INTO noted VALUES (?, ?, ?, ?)", there)
            self._dirty.clear()
        except sqlite3.Error as error:
            if (unlogged := self._throttle.admit()) is not None:
                _log.warning(
                    "alerts_not_noted",
                    file=FILE_NAME,
                    error=f"{type(error).__name__}: {error}",
                    unlogged_before=unlogged,
                )


def _joined(earlier: WaitingAlert | None, message: AlertMessage, now_ms: int) -> WaitingAlert:
    """What waits of a key from now on. A halt that waits is not replaced by its end: both are told,
    together."""
    first = "" if earlier is None or earlier.sent else f"{earlier.text}\n"
    return WaitingAlert(
        key=message.key,
        level=message.level,
        text=f"{first}{message.text}"[:TEXT_MAX],
        made_at_ms=earlier.made_at_ms if earlier is not None and first else now_ms,
        attempted_at_ms=0 if earlier is None else earlier.attempted_at_ms,
    )


def _check_version(path: Path, version: int) -> None:
    if version not in (0, VERSION):
        raise AlertsFileError(f"EXECUTOR_DATA: {path} is of another version ({version})")


def _check_pages(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA quick_check").fetchone() != ("ok",):
        raise sqlite3.DatabaseError("a page of it is damaged")


def _read(value: bytes, kind: type[_Row]) -> _Row | None:
    try:
        return msgspec.json.decode(value, type=kind)
    except msgspec.MsgspecError:  # of another version; at worst it is told again
        return None


def _opened(path: Path) -> sqlite3.Connection:
    try:
        return _connected(path)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise AlertsFileError(
                f"EXECUTOR_DATA: another `executor alert run` works with {path}: stop it first"
            ) from None
        raise AlertsFileError(f"EXECUTOR_DATA: {path} cannot be written: {error}") from None
    except sqlite3.DatabaseError as error:
        # It only says what was told: without it something may be told twice.
        aside = path.with_name(f"{path.name}.damaged")
        try:
            path.replace(aside)
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        except OSError as why:
            raise AlertsFileError(f"EXECUTOR_DATA: {path} is damaged: {why.strerror}") from None
        _log.warning("alerts_file_replaced", file=str(path), kept=str(aside), error=str(error))
    try:
        return _connected(path)
    except sqlite3.Error as error:
        raise AlertsFileError(f"EXECUTOR_DATA: {path} cannot be written: {error}") from None


def _connected(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=LOCKED_S)
    try:
        # Held until the process ends: a second one is refused.
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL")
        # Survives a killed process; a power cut may have something told twice.
        db.execute("PRAGMA synchronous=NORMAL")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        _check_version(path, version)
        with db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS noted (kind TEXT, service TEXT, key TEXT, value BLOB,"
                " PRIMARY KEY (kind, service, key)) WITHOUT ROWID"
            )
            db.execute(f"PRAGMA user_version={VERSION}")
        _check_pages(db)
    except BaseException:
        db.close()
        raise
    return db
