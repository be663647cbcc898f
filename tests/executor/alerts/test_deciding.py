"""Looks, decisions and the heartbeat together, on an account that is really halted and resumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from executor.alerts.alert import SeenSchedule
from executor.alerts.alerts_file import AlertsFile
from executor.alerts.sending import AlertDelivery, AlertMetrics
from executor.alerts.service import Telling
from executor.alerts.watched_accounts import WatchedAccounts
from executor.alerts.watched_books import WatchedBooks
from executor.alerts.watched_system import WatchedSystem
from functions.settings import LimitSettings
from runtime.nats_settings import NatsSettings
from tests.executor.alerts.seen_builders import NOW_MS, process, seen_account, system
from tests.executor.alerts.test_sending import FakeService
from tests.support.fake_ports import MemoryStore

ACCOUNT = "imbalance"


class Desk:
    """What the loops of the process share, with time in our hands."""

    def __init__(self, data: Path) -> None:
        self.now_ms = NOW_MS
        self.file = AlertsFile(data / "alerts.sqlite")
        self.file.note("since_ms", NOW_MS - 1)
        self.store = MemoryStore(name=ACCOUNT)
        self.accounts = WatchedAccounts(LimitSettings(strategies="imbalance=made_up"))
        self.system = WatchedSystem(data)
        self.books = WatchedBooks(NatsSettings(), ["btc-15m"])
        self.delivery = AlertDelivery(FakeService("one"), self.file, AlertMetrics())
        self.telling = Telling(
            self.file, [self.delivery], AlertMetrics(), self.accounts, self.system, self.books
        )
        self.system.status = system(process("schedule"), process("worker-1"))
        self.system.schedule = {ACCOUNT: SeenSchedule()}

    async def look(self, later_s: int = 5) -> list[str]:
        """The first lines of what was told at a look so much later."""
        self.now_ms += later_s * 1_000
        account = await self.store.account()
        one = msgspec.structs.replace(seen_account(), account=account)
        self.accounts.seen = lambda _: (one,)  # type: ignore[method-assign]
        self.books.proven_at_ms["btc-15m"] = self.now_ms
        if self.system.status is not None:
            self.system.status = msgspec.structs.replace(
                self.system.status, written_at_ms=self.now_ms
            )
        before = {row.key: row.text for row in self.file.due("one", self.now_ms + 10**9)}
        self.telling.once(self.now_ms)
        after = self.file.due("one", self.now_ms + 10**9)
        told = [row.text.removeprefix(before.get(row.key, "")).strip() for row in after]
        return [text.partition("\n")[0] for text in told if text]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr("functions.settings.known_names", lambda: ("made_up",))
    desk = Desk(tmp_path)
    monkeypatch.setattr("executor.alerts.service.now_ms", lambda: desk.now_ms)
    yield desk
    desk.file.close()


async def test_a_halt_and_its_end_are_told_and_leave_the_heartbeat(desk: Desk) -> None:
    assert await desk.look() == []
    assert desk.telling.well()
    await desk.store.halt("maintenance")
    assert await desk.look() == ["HALTED: PAPER imbalance: maintenance"]
    assert await desk.look() == []
    assert desk.telling.well()
    await desk.store.resume(await desk.store.account())
    assert await desk.look(30) == []  # not within a minute of the other message
    assert await desk.look(30) == [
        "RESUMED: PAPER imbalance trades again (was halted: maintenance) (it lasted 1 min)"
    ]
    await desk.store.halt("again")
    assert await desk.look() == ["HALTED: PAPER imbalance: again"]


async def test_an_alarm_withholds_the_heartbeat_until_it_is_over(desk: Desk) -> None:
    await desk.look()
    desk.system.schedule = {ACCOUNT: SeenSchedule(mismatches=1)}
    assert [line.partition(":")[0] for line in await desk.look()] == ["POSITIONS DIFFER"]
    assert not desk.telling.well()
    assert desk.telling.active() == [
        "POSITIONS DIFFER: PAPER imbalance: the venue shows other shares of 1 tokens than the "
        "claims say"
    ]
    desk.system.schedule = {}  # the schedule has ended: nothing is known
    assert await desk.look(400) == []
    assert not desk.telling.well()
    desk.system.schedule = {ACCOUNT: SeenSchedule()}
    assert len(await desk.look()) == 1
    assert desk.telling.well()


async def test_what_was_not_all_seen_is_not_well(desk: Desk) -> None:
    await desk.look()
    assert desk.telling.well()
    desk.books.problem = "not connected to NATS"
    await desk.look()
    assert not desk.telling.well()
    desk.books.problem, desk.system.status = "", system(process(state="starting"))
    await desk.look()
    assert not desk.telling.well()
    desk.system.status = system(process(), stopped=True)
    await desk.look()
    assert not desk.telling.well()
    desk.system.status = None  # nobody tells of a system: the accounts are all there is
    await desk.look()
    assert desk.telling.well()


async def test_a_loop_that_has_stopped_is_not_well(desk: Desk) -> None:
    await desk.look()
    assert desk.telling.problem() is None
    desk.now_ms += 61_000
    assert desk.telling.problem() == "nothing has been decided for a minute"
    assert not desk.telling.well()
