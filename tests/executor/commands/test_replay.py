"""`executor replay` and `executor explain`: words, exit codes, and what they need."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from backtest.replay.answers import Strategies
from executor.commands import explain
from feeder.recording.format import Configured, Decided, payload
from functions.adapters.dynamodb.store import DynamoStore
from functions.core.claim import ClaimState
from protocol.decision import Decision, decode_decision
from tests.executor.conftest import Command
from tests.support import made_history as made
from tests.support.configuration_builders import seed
from tests.support.recording_files import started
from tests.support.trading_builders import a_claim


def first_decision() -> Decision:
    return decode_decision(
        payload(next(each for each in made.history() if isinstance(each, Decided)))
    )


@pytest.fixture
def recording(tmp_path: Path) -> str:
    return str(made.write(tmp_path, made.history()))


# -- replay ----------------------------------------------------------------------------------------


async def test_all_equal_is_said_in_one_line_and_ends_with_0(run: Command, recording: str) -> None:
    result = await run("replay", recording)
    assert result.exit_code == 0
    assert result.stdout.startswith("12 decisions: all equal\nnot compared, because not logged: ")
    assert "book_imbalance_crypto (book_imbalance_crypto): 40 books, 12 signals" in result.stdout
    told = json.loads((await run("replay", recording, "--json")).stdout)
    assert (told["equal"], len(told["answers_digest"])) == (12, 16)


async def test_another_configuration_is_a_list_of_differences_and_1(
    run: Command, tmp_path: Path
) -> None:
    records = [
        made.configured(made.row(imbalance_min=0.99)) if isinstance(each, Configured) else each
        for each in made.history()
    ]
    path = str(made.write(tmp_path, records))
    result = await run("replay", path)
    assert result.exit_code == 1
    assert result.stdout.startswith("12 decisions: 12 DIFFERENT, 0 equal\n")
    assert "  logged: buys " in result.stdout
    assert "  now:    holds: no_imbalance" in result.stdout
    result = await run("replay", path, "--json")
    assert result.exit_code == 1
    assert result.stderr == "12 decisions: 12 DIFFERENT, 0 equal\n"
    assert json.loads(result.stdout)["different"] == 12


async def test_a_file_takes_the_place_of_the_strategy_of_its_name(
    run: Command, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from strategies.book_imbalance import BookImbalance\n"
        "class Mine(BookImbalance):\n"
        "    name = 'mine'\n"
    )
    records = [
        made.configured(msgspec.structs.replace(made.row(), strategy="mine"))
        if isinstance(each, Configured)
        else each
        for each in made.history()
    ]
    path = str(made.write(tmp_path, records))
    without = await run("replay", path)
    assert without.exit_code == 1
    assert "name its file: --strategy ./my_strategy.py" in without.stdout
    result = await run("replay", path, "--strategy", str(file))
    assert result.exit_code == 0, result.output


async def test_a_file_that_takes_nobody_s_place_is_one_line_and_2(
    run: Command, recording: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from strategies.book_imbalance import BookImbalance\n"
        "class Mine(BookImbalance):\n"
        "    name = 'mine'\n"
    )
    result = await run("replay", recording, "--strategy", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"--strategy: mine: no account of {recording} has a strategy of that name; "
        "there is: book_imbalance_crypto\n"
    )


async def test_nothing_to_replay_is_one_line_and_2(run: Command, tmp_path: Path) -> None:
    for argument, said in (
        (str(made.write(tmp_path, [started()])), "nothing to replay: no decision in "),
        (str(tmp_path / "none"), "cannot read "),
    ):
        result = await run("replay", argument)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr.startswith(said)
        assert result.stderr.count("\n") == 1
    result = await run("replay", str(tmp_path), "--strategy", "nope")
    assert result.exit_code == 2
    assert result.stderr.startswith("--strategy: nope: no such strategy")


# -- explain ---------------------------------------------------------------------------------------


async def test_a_decision_is_explained_from_the_recording_alone(
    run: Command, recording: str
) -> None:
    decision = first_decision()
    result = await run("explain", decision.decision_id[:6], "--recording", recording)
    assert result.exit_code == 0, result.output
    for said in (
        f"{decision.decision_id}, from {recording}",
        "decided again  the same",
        "to its end",
        "imbalance_min 0.3",
        "the ask was 0.",
        "none: nothing was ordered",
        "the recording does not say what the market paid",
    ):
        assert said in result.stdout
    told = await run("explain", decision.decision_id, "--recording", recording, "--json")
    assert json.loads(told.stdout)["again"] == "equal"


def test_no_number_is_cut_where_the_terminal_is_narrow(recording: str) -> None:
    prefix = first_decision().decision_id
    found = explain.from_recording(Path(recording), prefix, Strategies({}))
    shown = []
    for width in (80, 240):
        console = Console(width=width, highlight=False, color_system=None)
        with console.capture() as capture:
            console.print(explain.explained_view(found))
        _, _, later = capture.get().partition("by the mid")
        shown.append(re.findall(r"[-+]?\d+\.\d+", later))
    assert shown[0] == shown[1]
    assert shown[0]


async def test_a_wrong_id_is_one_line(run: Command, recording: str) -> None:
    short = await run("explain", "12345", "--recording", recording)
    assert (short.exit_code, short.stderr) == (
        2,
        "DECISION_ID: 6 characters of it at least\n",
    )
    unknown = await run("explain", "123456", "--recording", recording)
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("failed: no decision in ")


async def test_from_the_decision_table_there_are_no_books_and_it_says_how_to_get_them(
    run: Command, store: DynamoStore
) -> None:
    await seed(store)
    at_ms = time.time_ns() // 1_000_000
    decision = msgspec.structs.replace(
        first_decision(), strategy=store.account_name, decided_at_ms=at_ms
    )
    await store.put_decisions([decision])
    result = await run("explain", decision.decision_id[:8])
    assert result.exit_code == 0, result.output
    assert "no book: the decision table keeps no books: `executor record --books`" in result.stdout
    assert "hurdle_ticks 0" in result.stdout
    unknown = await run("explain", "123456")
    assert unknown.exit_code == 1
    assert unknown.stderr.startswith("failed: no decision of the last 8 days of ")


async def test_with_a_table_the_evidence_is_what_it_has_by_now(
    run: Command, store: DynamoStore, tmp_path: Path
) -> None:
    await seed(store)
    at_ms = time.time_ns() // 1_000_000
    claim = msgspec.structs.replace(
        a_claim(), claimed_at_ms=at_ms, state=ClaimState.RELEASED, text="no match"
    )
    await store.put_ledger(claim)
    first = first_decision()
    logged = msgspec.structs.replace(
        first,
        strategy=store.account_name,
        decided_at_ms=at_ms,
        intent_id=claim.intent_id,
        state="unknown",
    )
    await store.put_decisions([logged])
    told = json.loads((await run("explain", logged.decision_id, "--json")).stdout)
    assert told["evidence"]["source"] == "ledger"
    assert told["evidence"]["state"] == "released"
    path = made.write(tmp_path, [*made.history()[:1], made.decided(logged)])
    shown = await run("explain", logged.decision_id, "--recording", str(path))
    assert "released (from the ledger)" in shown.stdout


async def test_a_table_that_does_not_answer_costs_the_recording_s_reader_nothing(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_TABLE", "nobody-answers")
    logged = msgspec.structs.replace(first_decision(), intent_id="i", state="open")
    path = made.write(tmp_path, [*made.history()[:1], made.decided(logged)])
    shown = await run("explain", logged.decision_id, "--recording", str(path))
    assert shown.exit_code == 0, shown.output
    assert "open (from the decision)" in shown.stdout
    assert "as logged; " in shown.stdout
