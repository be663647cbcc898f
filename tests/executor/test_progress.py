"""The bar of a long run: on a terminal, once it takes a second, and never in the way."""

from __future__ import annotations

import asyncio

import pytest
from rich.console import Console

from executor import progress
from executor.progress import awaited_progress, progress_bar


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setattr(progress, "_REFRESHED_EVERY_S", 0.0)


@pytest.mark.usefixtures("terminal")
def test_it_shows_how_much_is_done_and_leaves_the_cursor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "SHOWN_AFTER_S", 0.0)
    with progress_bar() as tell:
        tell(None, "5,000 books")
        tell(0.25, "12 points")
    out, shown = capsys.readouterr()
    assert "5,000 books" in shown
    assert "25%" in shown
    assert "12 points" in shown
    assert "\x1b[?25l" not in shown  # hidden: a signal would leave it so
    assert out == ""


@pytest.mark.usefixtures("terminal")
def test_what_is_quick_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as tell:
        tell(0.5, "books")
    assert capsys.readouterr() == ("", "")


def test_a_file_gets_no_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "SHOWN_AFTER_S", 0.0)
    with progress_bar() as tell:
        tell(0.5, "books")
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("terminal")
async def test_while_an_answer_is_waited_for_it_is_drawn_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "SHOWN_AFTER_S", 0.1)
    shown = ""
    async with awaited_progress() as tell, asyncio.timeout(30):
        tell(0.5, "the venue")  # too early to be shown
        while "the venue" not in shown:
            await asyncio.sleep(0.01)
            shown += capsys.readouterr().err
    assert "50%" in shown
