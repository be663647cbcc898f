"""`executor paper` as a person types it: where it cannot start, one line and exit code 2; and with
what it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from executor.commands import paper_run
from executor.commands.paper import Wanted
from functions.adapters.sqlite import store as sqlite
from functions.core.configuration import AccountConfiguration
from functions.handlers.seed_configuration import seed_configuration
from functions.settings import WorkerSettings
from local.data_folder import DataFolder
from local.services import FEEDER, PUBLISHED_BIDS, services_of
from local.status import SystemStatus, write_status
from local.system import SystemPlan
from strategies.builtin import BUILTIN
from tests.executor.conftest import Command
from tests.support.strategy_files import write_strategy

ACCOUNT = "book_imbalance_crypto-paper"


async def refused(run: Command, folder: Path) -> str:
    result = await run("paper", "--data", str(folder), "--console-port", "0")
    assert result.exit_code == 2
    last: str = result.output.splitlines()[-1]
    assert last.startswith("cannot start: ")
    return last.removeprefix("cannot start: ")


async def test_a_second_one_in_the_same_folder(run: Command, tmp_path: Path) -> None:
    first = DataFolder.open(tmp_path / "data")
    try:
        assert "a system runs here already (pid" in await refused(run, first.path)
    finally:
        first.close()


async def test_a_folder_of_another_version_or_of_something_else(
    run: Command, tmp_path: Path
) -> None:
    (tmp_path / "version").write_text("2\n")
    assert "of version 2, and this executor reads version 1" in await refused(run, tmp_path)
    (tmp_path / "version").unlink()
    (tmp_path / "notes").touch()
    assert "holds something else (notes)" in await refused(run, tmp_path)
    assert "notes: not a directory" in await refused(run, tmp_path / "notes")


async def test_a_folder_with_the_accounts_of_another_venue(run: Command, tmp_path: Path) -> None:
    DataFolder.open(tmp_path / "data").close()
    before = SystemStatus(
        pid=1,
        started_at_ms=1,
        written_at_ms=1,
        execution="paper",
        environment={},
        venue="http://venue.invalid",
        processes=(),
        stopped=True,
    )
    write_status(tmp_path / "data", before)
    line = await refused(run, tmp_path / "data")
    assert "data holds the accounts of http://venue.invalid, and this is for http" in line


@pytest.mark.parametrize("content", [b"", b"garbage" * 2_000])
async def test_accounts_that_cannot_be_read(run: Command, tmp_path: Path, content: bytes) -> None:
    DataFolder.open(tmp_path / "data").close()
    (tmp_path / "data" / "state.sqlite").write_bytes(content)
    assert "data/state.sqlite is " in await refused(run, tmp_path / "data")


async def test_a_variable_that_contradicts_what_is_stored(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = DataFolder.open(tmp_path / "data")
    folder.close()
    strategy = BUILTIN["book_imbalance_crypto"]
    async with sqlite.open_stores([ACCOUNT], folder.path / "state.sqlite", durable=False) as stores:
        await stores[ACCOUNT].open_account()
        await seed_configuration(
            stores[ACCOUNT],
            account_name=ACCOUNT,
            strategy=strategy.name,
            parameters=strategy.Parameters,
            seed=AccountConfiguration(),
            variables={},
            who="a test",
        )
    monkeypatch.setenv("MAX_POSITIONS", "7")
    line = await refused(run, folder.path)
    assert "MAX_POSITIONS=7 (stored: 3): unset what is set, or change what is stored" in line


@pytest.mark.parametrize(("said", "published"), [({}, "20"), ({PUBLISHED_BIDS: "33"}, "33")])
def test_as_many_bids_are_published_as_any_strategy_looks_at_unless_a_person_says_how_many(
    said: dict[str, str], published: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = "class Mine(Strategy):\n    bids_seen = staticmethod(lambda parameters: 20)\n"
    mine = write_strategy(tmp_path, changes=(("class Mine(Strategy):\n", looking),))
    strategies = f"book_imbalance_crypto@paper,{mine}@paper"
    for name, value in {"STRATEGIES": strategies, **said}.items():
        monkeypatch.setenv(name, value)
    started: list[dict[str, dict[str, str]]] = []

    def keep(plan: SystemPlan, worker: WorkerSettings) -> int:
        assert len(worker.entries) == 2
        started.append({each.name: each.env for each in services_of(plan, "nats://nowhere:1")})
        return 0

    monkeypatch.setattr(paper_run, "_kept_running", keep)
    wanted = Wanted(
        execution="paper", data=tmp_path / "data", venue=None, console_port=0, record_gb=0
    )
    assert paper_run.run(wanted) == 0
    [processes] = started
    assert {name for name, env in processes.items() if PUBLISHED_BIDS in env} == {FEEDER}
    assert processes[FEEDER][PUBLISHED_BIDS] == published
