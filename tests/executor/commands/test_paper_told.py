"""What the person who started the system reads of its accounts, when something changes."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from executor.commands.paper_told import (
    CHANGED_EVERY_S,
    QUIET_S,
    AccountLines,
    ProblemLines,
    line_of,
    room_problem,
)
from functions.core.account_status import Status

STATUS = Status(
    account="mine-paper",
    trading=True,
    halt_reason="",
    pause_reason="",
    pause_until_ms=0,
    open=0,
    unknown=0,
    claimed=0,
    ended=0,
    slots_used=0,
    slots=3,
    entries=0,
    entries_max_in_a_market=0,
    max_entries_per_market=None,
    day="2026-01-01",
    pnl_e6=0,
    daily_loss_limit_e6=20_000_000,
    spent_e6=0,
    daily_spend_cap_e6=200_000_000,
    redemptions_waiting=0,
    cooldowns=0,
    oldest_unresolved_ms=None,
    overdue=0,
)


def with_(**changes: Any) -> Status:
    return msgspec.structs.replace(STATUS, **changes)


def test_one_line_says_it_all() -> None:
    assert line_of(STATUS) == (
        "mine-paper: 0 positions open, spent today 0.00 USD, P&L today +0.00 USD"
    )
    status = with_(
        trading=False,
        halt_reason="a person",
        open=1,
        unknown=2,
        spent_e6=3_300_000,
        pnl_e6=-1_250_000,
        pause_until_ms=5,
        pause_reason="balance",
    )
    assert line_of(status) == (
        "mine-paper: HALTED (a person), paused (balance), 1 position open, 2 orders unresolved, "
        "spent today 3.30 USD, P&L today -1.25 USD"
    )


def test_it_comes_when_something_has_changed_and_not_too_often() -> None:
    lines = AccountLines()
    assert lines.due(STATUS, 0) == line_of(STATUS)
    assert lines.due(STATUS, CHANGED_EVERY_S) is None
    changed = with_(open=1)
    assert lines.due(changed, CHANGED_EVERY_S - 1) is None
    assert lines.due(changed, CHANGED_EVERY_S) == line_of(changed)
    assert lines.due(changed, CHANGED_EVERY_S + QUIET_S - 1) is None
    assert lines.due(changed, CHANGED_EVERY_S + QUIET_S) == line_of(changed)


def test_each_account_has_lines_of_its_own() -> None:
    lines = AccountLines()
    other = with_(account="other-paper")
    assert lines.due(STATUS, 0) and lines.due(other, 0)
    assert lines.due(with_(account="other-paper", open=1), CHANGED_EVERY_S)
    assert lines.due(STATUS, CHANGED_EVERY_S) is None


def test_a_problem_is_said_once_it_lasts_and_when_it_is_over() -> None:
    lines = ProblemLines()

    def said(problem: str) -> list[str]:
        return list(lines.due({"worker-1": problem}))

    assert said("not connected") == []  # as at every start
    assert said("") == []
    assert said("the disk is full") == []
    assert said("the disk is full") == ["worker-1: the disk is full"]
    assert said("the disk is full") == []
    assert said("another") == []
    assert said("another") == ["worker-1: another"]
    assert said("") == ["worker-1: well again"]
    assert said("") == []


def test_little_room_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert room_problem(tmp_path) == ""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100 << 20))
    assert room_problem(tmp_path).startswith("its disk has 100 MB left: nothing is recorded, and ")
    monkeypatch.undo()
    assert "No such file" in room_problem(tmp_path / "none")
