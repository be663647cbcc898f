from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from backtest import streaming_or_polling
from backtest.engine.observations import Observations
from backtest.pictures.against_scanner import PAGE, PHASES, WAITING, made
from tests.support.backtest_builders import a_large_run, observations

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def seen() -> Observations:
    return a_large_run(signals=300, phases=3)


@pytest.fixture(scope="module")
def files(seen: Observations) -> dict[str, str]:
    return made(seen)


def test_the_page_has_both_brackets_its_pictures_and_their_source(files: dict[str, str]) -> None:
    page = files[PAGE]
    assert set(files) == {PAGE, WAITING, PHASES}
    assert "| stream, unchanged | stream, next | scanner, unchanged | scanner, next |" in page
    assert re.findall(r"!\[.+?\]\((.+?)\)", page) == [WAITING, PHASES]
    assert page.count("Source: made by hand.") == 3
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {6}
    assert not re.search(r"nan|None|inf\b", page)
    assert max(len(line) for line in page.splitlines()) <= 101


def test_it_is_the_same_each_time(files: dict[str, str], seen: Observations) -> None:
    assert made(seen) == files


def test_nothing_bought_still_makes_a_page() -> None:
    nothing = a_large_run(signals=0, markets=2, phases=1)
    for lane in (*nothing.lanes, *nothing.polling):
        lane.orders.clear()
    files = made(nothing)
    assert "no difference in money is shown" in " ".join(files[PAGE].split())
    assert "no scanner bought anything" in files[PHASES]


def test_without_a_scanner_there_is_nothing_to_compare_with() -> None:
    run = observations()
    run.assumptions = msgspec.structs.replace(run.assumptions, poll=None)
    with pytest.raises(ValueError, match="no scanner"):
        made(run)


def test_check_tells_what_differs_and_writes_nothing(
    files: dict[str, str],
    seen: Observations,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(streaming_or_polling, "FOLDER", tmp_path / "new")
    monkeypatch.setattr(streaming_or_polling, "seen_by_default", lambda: seen)
    assert streaming_or_polling.main(["--check"]) == 1
    assert "+# Streaming or polling" in capfd.readouterr().out
    assert not (tmp_path / "new").exists()
    assert streaming_or_polling.main([]) == 0
    assert streaming_or_polling.main(["--check"]) == 0
    page = tmp_path / "new" / PAGE
    page.write_text(files[PAGE].replace("Nobody", "Somebody"), encoding="utf-8")
    assert streaming_or_polling.main(["--check"]) == 1
    changed = [line for line in capfd.readouterr().out.splitlines() if line.startswith(("-", "+"))]
    assert len(changed) == 4  # two names and one line


def test_what_the_page_names_is_there() -> None:
    folder = streaming_or_polling.FOLDER
    text = (folder / PAGE).read_text(encoding="utf-8")
    assert folder.parent.parent == ROOT
    for name in re.findall(r"\]\((.+?)\)", text):
        assert (folder / name).exists()
