"""The doctor on the store of this machine: its file, its disk, how durable its writes are."""

from __future__ import annotations

from pathlib import Path

import pytest

from executor.doctor import state_file as doctor
from executor.doctor.finding import Level
from functions.adapters.sqlite import look
from functions.settings import AccountSettings
from tests.support.sqlite_stores import state_file, store_in

__all__ = ["state_file"]


async def findings(path: Path, execution: str = "paper") -> dict[str, tuple[Level, str]]:
    settings = AccountSettings(state=f"sqlite:///{path}", strategies=f"fair_value@{execution}")
    found = await doctor.check(settings, path)
    return {each.what: (each.level, each.text) for each in found}


async def test_before_the_first_start_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    assert (await findings(path))["store"] == (Level.WARN, f"{path}: not there yet")
    assert not path.exists()


async def test_a_file_that_is_well_is_all_ok(state_file: Path) -> None:
    async with store_in(state_file, "fair_value-paper") as store:
        await store.open_account()
        found = await findings(state_file)
    assert {level for level, _ in found.values()} == {Level.OK}
    assert found["store's file"][1].endswith("MB, whole")
    assert "survive a killed process" in found["store's writes"][1]
    live = await findings(state_file, "live")
    assert "survive a power cut" in live["store's writes"][1]


async def test_a_full_disk_fails(state_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "free_bytes", lambda _: 5 << 20)
    level, text = (await findings(state_file))["store's disk"]
    assert (level, text) == (Level.FAIL, "5 MB are left: no claim is made below 64 MB")


async def test_what_cannot_be_opened_fails_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    path.write_bytes(b"no database at all" * 500)
    level, text = (await findings(path))["store"]
    assert level is Level.FAIL
    assert text.startswith(f"STATE: {path} is damaged, or no store")
