"""`executor backup FILE`, as a person types it: what it says, and its exit code."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from executor.command_line import app
from tests.support.sqlite_stores import state_file, store_in
from tests.support.store_builders import STRATEGY
from tests.support.stored_account_contract import ended

__all__ = ["state_file"]


@pytest.fixture
def filled(state_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    async def fill() -> None:
        async with store_in(state_file) as store:
            await store.open_account()
            await store.put_ledger(ended())

    asyncio.run(fill())
    monkeypatch.setenv("STATE", f"sqlite:///{state_file}")
    return state_file


def test_it_says_what_the_copy_holds(filled: Path) -> None:
    target = filled.with_name("copy.sqlite")
    done = CliRunner().invoke(app, ["backup", str(target)])
    assert done.exit_code == 0
    assert "the copy is whole" in done.stdout
    assert f"1 accounts ({STRATEGY}), 1 claims that ended, 0 configurations" in done.stdout
    again = CliRunner().invoke(app, ["backup", str(target)])
    assert (again.exit_code, again.stdout) == (2, "")
    assert "is there already, and is not overwritten" in again.stderr


def test_where_there_is_no_folder_it_says_so(filled: Path) -> None:
    done = CliRunner().invoke(app, ["backup", str(filled.with_name("none") / "copy")])
    assert done.exit_code == 2
    assert "there is no folder" in done.stderr


def test_dynamodb_has_a_way_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STATE", "dynamodb")
    done = CliRunner().invoke(app, ["backup", str(tmp_path / "copy")])
    assert done.exit_code == 2
    assert "point-in-time recovery" in done.stderr
