"""`executor decisions --recording`: which ones, and what can be done with them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from backtest.engine.latency_text import latency_of
from feeder.recording.format import Decided, decided_of, payload
from protocol.decision import Decision, Timeline, decode_decision, encode_decision
from tests.executor.conftest import Command
from tests.support import made_history as made
from tests.support.recording_files import started

LOGGED = [decode_decision(payload(each)) for each in made.history() if isinstance(each, Decided)]


def recorded(tmp_path: Path, *decisions: Decision) -> str:
    """Without books."""
    records = [
        decided_of(encode_decision(each), subject="decision.a", at_ns=number, mono_ns=number)
        for number, each in enumerate(decisions, 1)
    ]
    return str(made.write(tmp_path, [started(), *records]))


@pytest.fixture
def recording(tmp_path: Path) -> str:
    return str(made.write(tmp_path, made.history()))


async def test_an_id_that_it_shows_is_one_that_can_be_explained(
    run: Command, recording: str
) -> None:
    shown = (await run("decisions", "--recording", recording, "--limit", "2")).stdout.splitlines()
    assert shown[0] == f"{recording}, of book_imbalance_crypto"
    newest = [each.decision_id[:8] for each in reversed(LOGGED[-2:])]
    assert [line.split()[0] for line in shown[1:]] == ["id", *newest]
    result = await run("explain", LOGGED[-1].decision_id, "--recording", recording)
    assert result.exit_code == 0


async def test_account_and_day_leave_the_others_out_and_one_that_came_twice_is_one(
    run: Command, tmp_path: Path
) -> None:
    one, other = LOGGED[0], msgspec.structs.replace(LOGGED[1], strategy="other")
    path = recorded(tmp_path, one, other, one)
    told = json.loads((await run("decisions", "--recording", path, "--json")).stdout)
    assert [each["account"] for each in told["decisions"]] == ["other", one.strategy]
    lines = (await run("decisions", "--recording", path)).stdout.splitlines()
    assert lines[1].split()[:3] == ["id", "account", "time"]
    of_other = await run("decisions", "--recording", path, "--account", "other", "--json")
    assert len(json.loads(of_other.stdout)["decisions"]) == 1
    none = await run("decisions", "--recording", path, "--day", "2001-01-01")
    assert none.stdout == f"{path}, without decisions\nno decisions on 2001-01-01\n"


async def test_it_measures_a_latency_and_names_what_it_cannot_read(
    run: Command, tmp_path: Path
) -> None:
    took = Timeline(decided_at_ns=10, signed_at_ns=10, claimed_at_ns=10, answered_at_ns=7_000_010)
    decision = msgspec.structs.replace(LOGGED[0], timeline=took)
    path = recorded(tmp_path, decision)
    file = tmp_path / "log.json"
    file.write_text((await run("decisions", "--recording", path, "--json")).stdout)
    assert latency_of(str(file)).median_ms == 7

    wrong = tmp_path / "wrong"
    wrong.mkdir()
    made.write(wrong, [started(), decided_of(b"{}", subject="decision.a", at_ns=1, mono_ns=1)])
    told = json.loads((await run("decisions", "--recording", str(wrong), "--json")).stdout)
    assert len(told["unreadable"]) == 1


async def test_no_recording_is_one_line_and_2(run: Command, tmp_path: Path) -> None:
    result = await run("decisions", "--recording", str(tmp_path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
