"""State that a strategy keeps is seen, however it is kept; and what keeps none is not blamed."""

from __future__ import annotations

from pathlib import Path

import pytest

from executor.strategy_check.made_up_views import made_up_views
from executor.strategy_check.module_state import changed, modules_of, state_of
from functions.strategy_loading import load_strategy
from strategies.builtin import BUILTIN
from strategies.interface import Strategy
from tests.support.strategy_files import write_strategy

OBJECT = "class Box:\n    def __init__(self):\n        self.n = 0\n\n\nBOX = Box()\n"
KEPT = {
    "another name of a method": ("SEEN = []\npush = SEEN.append\n", "push(1)", "SEEN"),
    "a library's function": ("import heapq\nSEEN = []\n", "heapq.heappush(SEEN, 1)", "SEEN"),
    "another name of an object": (OBJECT, "box = BOX\nbox.n += 1", "BOX"),
    "a function of its own": (
        f"{OBJECT}\n\ndef bump(box):\n    box.n += 1\n",
        "bump(BOX)",
        "BOX",
    ),
    "an iterator": (
        "import itertools\nNUMBERS = itertools.count()\n",
        "for _ in NUMBERS:\n    break",
        "NUMBERS",
    ),
    "a default": ("def add(to=[]):\n    to.append(1)\n", "add()", "add.__defaults__"),
    "a closure": (
        "def made():\n    seen = []\n    return lambda: seen.append(1)\n\n\nadd = made()\n",
        "add()",
        "add.0",
    ),
    "the class": ("SEEN = []\n", "kept = Mine\nkept.n = now_ms", "Mine.n"),
}


def seen_of(strategy: type[Strategy], path: Path | None) -> list[str]:
    modules = modules_of(path, strategy)
    before = state_of(modules)
    for view in made_up_views(seed=1, count=20):
        strategy.decide(view, strategy.Parameters(), view.now_ms)
    return changed(before, state_of(modules))


@pytest.mark.parametrize("how", KEPT)
def test_what_outlives_a_call_is_seen(how: str, tmp_path: Path) -> None:
    top, before, name = KEPT[how]
    path = write_strategy(tmp_path, top=top, before=before)
    assert name in seen_of(load_strategy(str(path)), path)


def test_what_a_module_beside_it_keeps_is_seen_too(tmp_path: Path) -> None:
    beside = tmp_path / "a_counting_helper.py"
    beside.write_text("SEEN = []\n\n\ndef note():\n    SEEN.append(1)\n")
    path = write_strategy(tmp_path, top="from a_counting_helper import note\n", before="note()")
    assert seen_of(load_strategy(str(path)), path) == ["SEEN"]


def test_the_template_keeps_nothing(tmp_path: Path) -> None:
    path = write_strategy(tmp_path, top="EDGES = {1: [2.0]}\n")
    assert seen_of(load_strategy(str(path)), path) == []


@pytest.mark.parametrize("name", BUILTIN)
def test_the_built_ins_keep_nothing(name: str) -> None:
    assert seen_of(load_strategy(name), None) == []
