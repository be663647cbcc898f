"""The house's one visible rule, as far as imports cannot show it (import-linter does the rest)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PURE = sorted(
    path
    for pattern in (
        *(
            "protocol/*.py",
            "strategies/*.py",
            "venue/wire/*.py",
            "feeder/core/**/*.py",
            "functions/core/*.py",
            "backtest/engine/*.py",
            "backtest/measures/*.py",
        ),
        *(f"feeder/recording/{name}.py" for name in ("errors", "format", "inspection", "replayed")),
        "feeder/recording/inspected_market.py",
    )
    for path in ROOT.glob(pattern)
)
SOURCES = sorted(
    path
    for folder in (
        "protocol",
        "strategies",
        "recordings",
        "venue",
        "runtime",
        "feeder",
        "functions",
        "backtest",
        "local",
        "executor",
        "sandbox",
        "deploy",
        "benchmarks",
        "tests",
    )
    for path in (ROOT / folder).rglob("*.py")
    if "node_modules" not in path.parts
)


# One test for all files: collected and told one by one, they cost seconds in each of the suite's
# processes. What is wrong is named with its file.
def test_pure_packages_neither_await_nor_touch_the_outside() -> None:
    assert len(PURE) > 50
    assert [
        f"{path.relative_to(ROOT)}:{node.lineno}" for path in PURE for node in impure(path)
    ] == []


def impure(path: Path) -> Iterator[ast.expr | ast.stmt]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield node
            case ast.Call(
                func=ast.Name(id="open" | "print" | "input" | "exec" | "eval" | "__import__")
            ):
                yield node


class ReadsAtItsEnd:
    """Garbage that only the collector finds, and that reads source then, as a traceback's text."""

    def __init__(self) -> None:
        self.cycle = self

    def __del__(self) -> None:
        ast.parse("f(x)[1]")


def test_source_is_read_whatever_the_collector_finds_meanwhile() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    for _ in range(10):
        ReadsAtItsEnd()
        assert ast.parse(source).body  # CPython 3.11 alone: a SystemError


def test_modules_stay_rooms_one_can_see_at_once() -> None:
    assert len(SOURCES) > 500
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in SOURCES
    }
    assert {room: count for room, count in lines.items() if count > 450} == {}


def test_no_two_classes_share_a_name() -> None:
    rooms: dict[str, list[str]] = {}
    for path in SOURCES:
        room = str(path.relative_to(ROOT))
        if room.startswith("tests/"):
            continue
        for name in re.findall(r"(?m)^class ([A-Za-z]\w*)", path.read_text(encoding="utf-8")):
            rooms.setdefault(name, []).append(room)
    assert {name: where for name, where in rooms.items() if len(where) > 1} == {}


def test_whoever_connects_to_nats_does_so_by_our_client() -> None:
    """A client of nats-py's own writes a traceback for each try while a server is away."""
    theirs = re.compile(r"(?ms)^import nats$.*\bnats\.connect\(")
    assert [
        room
        for path in SOURCES
        if not (room := str(path.relative_to(ROOT))).startswith("tests/")
        and theirs.search(path.read_text(encoding="utf-8"))
    ] == []


def test_requirement_files_pin_hashes_and_name_no_index() -> None:
    files = sorted((ROOT / "requirements").glob("*.txt"))
    assert len(files) >= 7  # also those of the image, of the functions, and of the cloud's tools
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert "http" not in re.sub(r"(?m)^(aio)?http[a-z0-9]*==", "", text)
        pinned = re.findall(r"(?m)^[a-z0-9][a-z0-9._-]*(?:\[[a-z0-9,]+\])?==", text)
        assert len(pinned) > 10
        assert text.count("--hash=sha256:") >= len(pinned)
