"""Strategies by name and by file: what can be loaded, and the one line for what cannot."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from functions import strategy_loading
from functions.core.strategy_rules import StrategyNotUsableError
from functions.strategy_loading import load_strategy
from strategies.builtin import BUILTIN

GOOD = """
from __future__ import annotations
from enum import StrEnum
from strategies.interface import Hold, Signal, Strategy
from strategies.parameters import StrategyParameters, parameter
from strategies.view import MarketView

class Mine(Strategy):
    name = "mine"

    class Parameters(StrategyParameters):
        mid_min_e4: int = parameter(3_000, "The lowest mid.", ge=0, le=10_000)

    class Reason(StrEnum):
        QUIET = "quiet"

    @staticmethod
    def decide(view: MarketView, parameters: Parameters, now_ms: int) -> Signal | Hold:
        return Hold(Mine.Reason.QUIET)
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("strategy_file_"):
            del sys.modules[name]


def refusal(text: str) -> str:
    with pytest.raises(StrategyNotUsableError) as caught:
        load_strategy(text)
    said = str(caught.value)
    assert "\n" not in said and said.isprintable() and len(said) < 1_000
    said.encode()
    return said


def changed(*changes: tuple[str, str], source: str = GOOD) -> str:
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    Path("mine.py").write_text(source, encoding="utf-8")
    return "./mine.py:Mine"


def test_built_ins_are_known_by_name() -> None:
    assert {name: load_strategy(name) for name in BUILTIN} == BUILTIN


def test_a_file_is_loaded_with_and_without_its_class_and_only_once() -> None:
    path = list(sys.path)
    named = load_strategy(changed())
    assert sys.path == path
    assert named.name == "mine"
    assert load_strategy("mine.py") is named
    assert load_strategy(str(Path.cwd() / "mine.py")) is named


def test_a_changed_file_is_another_strategy() -> None:
    before = load_strategy(changed())
    after = load_strategy(changed(('"quiet"', '"silent"')))
    assert (before.Reason.QUIET.value, after.Reason.QUIET.value) == ("quiet", "silent")  # type: ignore[attr-defined]


def test_a_module_beside_it_can_be_imported() -> None:
    Path("a_helper_of_mine.py").write_text("LOWEST_E4 = 2_000\n")
    text = changed(("from enum", "from a_helper_of_mine import LOWEST_E4\nfrom enum"))
    assert load_strategy(text).name == "mine"
    del sys.modules["a_helper_of_mine"]


def test_a_module_beside_it_is_not_mistaken_for_one_of_the_same_name() -> None:
    Path("a").mkdir()
    Path("b").mkdir()
    for folder in ("a", "b"):
        Path(folder, "one_helper.py").write_text(f"FROM = {folder!r}\n")
        Path(folder, "mine.py").write_text(
            "import one_helper\n" + GOOD.replace("from __future__ import annotations", "")
        )
    assert load_strategy("a/mine.py").name == "mine"
    assert "one_helper.py beside it: another module of that name is loaded" in refusal("b/mine.py")
    del sys.modules["one_helper"]


def test_the_names_that_there_are_are_said() -> None:
    said = refusal("no_such")
    assert said.startswith("no_such: no such strategy; there is: ")
    assert "book_imbalance_crypto" in said


@pytest.mark.parametrize(
    "text", ["", "Not A Name", "../up", "x" * 65, "a\nb", "\ud800", "mine.txt:Mine"]
)
def test_what_is_neither_a_name_nor_a_file_is_said(text: str) -> None:
    assert "neither a name (" in refusal(text)


def test_what_cannot_be_read_is_said() -> None:
    assert refusal("./gone.py:Mine") == "gone.py: cannot be read: No such file or directory"
    Path("folder.py").mkdir()
    assert "folder.py: cannot be read: Is a directory" in refusal(
        "folder.py"
    ) or "not a file" in refusal("folder.py")
    os.mkfifo("pipe.py")
    assert refusal("pipe.py") == "pipe.py: not a file"
    Path("large.py").write_bytes(b"#" * (strategy_loading.FILE_BYTES_MAX + 1))
    assert refusal("large.py") == "large.py: larger than 256 KB"
    assert "cannot be read" in refusal("a\0b.py")
    assert "cannot be read" in refusal("x" * 300 + ".py")
    if os.geteuid() != 0:
        Path("secret.py").touch(mode=0)
        assert "Permission denied" in refusal("secret.py")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named"),
        ("raise SystemExit(3)", "does not import: SystemExit: 3"),
        ("raise KeyboardInterrupt", "does not import: KeyboardInterrupt"),
        ("raise ValueError('two\\nlines \\ud800 \\x1b[2J')", "ValueError: two lines \\ud800 [2J"),
        (
            "class Odd(Exception):\n  def __str__(self): raise self\nraise Odd",
            "Odd: an error without a text",
        ),
        ("print('hello')", "prints when it is imported: 'hello'"),
        ("def broken(:", "line 3: does not import: SyntaxError"),
        ("x = 1 / 0", "line 3: does not import: ZeroDivisionError: division by zero"),
        ("x = '\0'", "does not import"),
        ("x = " + "(" * 500 + ")" * 500, "does not import: "),
    ],
)
def test_what_does_not_import_is_said_with_its_own_words(line: str, said: str) -> None:
    text = changed(("from enum", f"{line}\nfrom enum"))
    before = set(sys.modules)
    assert said in refusal(text)
    left = set(sys.modules) - before
    assert not [name for name in left if name.startswith("strategy_file_")]


def test_an_import_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategy_loading, "IMPORT_MAX_S", 0.2)
    loop = "while True:\n  try:\n    while True: pass\n  except Exception: pass"
    said = refusal(changed(("from enum", f"{loop}\nfrom enum")))
    assert said == "mine.py: its import takes longer than 0.2 s"


def test_the_class_is_named_or_the_only_one() -> None:
    changed()
    assert refusal("./mine.py:Other") == "mine.py: no class Other; its strategies are: Mine"
    assert "no class (none named)" in refusal("./mine.py:")
    assert refusal("./mine.py:StrEnum") == (
        "mine.py:StrEnum: not a strategy: its class must be derived from Strategy"
    )
    assert "mine.py:annotations: not a class" in refusal("./mine.py:annotations")
    changed(source=GOOD + "\nclass Second(Mine):\n    name = 'second'\n")
    assert "its strategies are: Mine, Second; say which one" in refusal("mine.py")
    assert load_strategy("mine.py:Second").name == "second"
    Path("mine.py").write_text("x = 1\n")
    assert "there is no class in it" in refusal("mine.py")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "mine"', "", "name: missing"),
        ('name = "mine"', 'name = "My Strategy"', "name: 'My Strategy' is not a small letter"),
        ('name = "mine"', "name = 7", "name: 7 is not"),
        ('name = "mine"', 'name = "book_imbalance_crypto"', "is a built-in's; choose another"),
        ("class Parameters(StrategyParameters)", "class Parameters", "Parameters: missing, or not"),
        (
            "mid_min_e4: int = parameter(3_000",
            "mid_min_e4: int = parameter(30_000",
            "mid_min_e4: its default",
        ),
        (
            'mid_min_e4: int = parameter(3_000, "The lowest mid.", ge=0, le=10_000)',
            "mid_min_e4: int",
            "has no default",
        ),
        ("mid_min_e4: int", "size_usd: int", "size_usd: a setting of the account has that name"),
        (
            "mid_min_e4: int",
            "cooldown_s: int",
            "cooldown_s: a setting of the account has that name",
        ),
        ("mid_min_e4: int", "Mid: int", "Parameters: Mid: not a small letter"),
        (
            "mid_min_e4: int = parameter(3_000",
            "mid_min_e4: list[int] = parameter([1]",
            "Parameters: ",
        ),
        ("class Reason(StrEnum)", "class Why(StrEnum)", "Reason: missing"),
        ("class Reason(StrEnum)", "class Reason(str)", "Reason: missing, or not a StrEnum"),
        ('QUIET = "quiet"', "pass", "Reason: 1 to 32 reasons"),
        ('"quiet"', '"Too quiet!"', "Reason: 'Too quiet!' is not"),
        ('"quiet"', '"strategy_error"', "strategy_error is the worker's own"),
        ("def decide(", "def decides(", "decide: missing"),
        ("    @staticmethod\n", "", "decide: must be a @staticmethod"),
        ("def decide(", "async def decide(", "decide: must be a plain function"),
        ("now_ms: int)", "now_ms: int, more: int)", "decide: must take (view, parameters, now_ms)"),
    ],
)
def test_what_a_class_lacks_is_one_line(old: str, new: str, said: str) -> None:
    assert said in refusal(changed((old, new)))


# -- entry points ----------------------------------------------------------------------------------


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> list[metadata.EntryPoint]:
    """Those of the group, as installed packages have them."""
    found: list[metadata.EntryPoint] = []
    monkeypatch.setattr(
        metadata, "entry_points", lambda group: [p for p in found if p.group == group]
    )
    # Read anew each time: these are installed while the process runs.
    monkeypatch.setattr(strategy_loading, "_points", strategy_loading._points.__wrapped__)
    return found


def point(name: str, value: str) -> metadata.EntryPoint:
    return metadata.EntryPoint(name, value, "executor.strategies")


def test_an_entry_point_is_known_by_its_name(
    points: list[metadata.EntryPoint], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changed()
    monkeypatch.syspath_prepend(str(tmp_path))
    points.append(point("mine", "mine:Mine"))
    assert load_strategy("mine").name == "mine"
    assert ", mine, " in refusal("no_such")
    points.append(point("other", "mine:Mine"))
    assert "other (a package): the strategy calls itself mine" in refusal("other")
    points.append(point("mine", "elsewhere:Mine"))
    assert refusal("mine") == "mine: a package and a package each have a strategy of that name"
    sys.modules.pop("mine", None)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no_such_package_at_all:Mine", "broken (a package): does not import: ModuleNotFoundError"),
        ("enum:NoSuch", "broken (a package): does not import: AttributeError"),
        ("enum:StrEnum", "broken (a package): not a strategy"),
    ],
)
def test_a_broken_entry_point_is_one_line(
    value: str, said: str, points: list[metadata.EntryPoint]
) -> None:
    points.append(point("broken", value))
    assert said in refusal("broken")


def test_an_entry_point_cannot_take_a_built_ins_name(points: list[metadata.EntryPoint]) -> None:
    points.append(point("book_imbalance_crypto", "mine:Mine"))
    assert refusal("book_imbalance_crypto") == (
        "book_imbalance_crypto: a built-in strategy, and a package has one of that name"
    )
