"""The documents against the tree: what they name exists, and what must be named is."""

from __future__ import annotations

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from functions.core.claim import TRANSITIONS

ROOT = Path(__file__).parent.parent
DOCUMENTS = (
    "README.md",
    "CHANGELOG.md",
    "tests/README.md",
    *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")),
)
MADE_BY_RUNS = (".build/", "benchmarks/out/", "sandbox-logs/")
SERVICES = ("venue", "runtime", "feeder", "functions", "executor")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def shown(document: str) -> list[str]:
    """Commands stand on indented lines."""
    return re.findall(r"(?m)^    (\S.*)$", text_of(document))


def anchors(document: str) -> set[str]:
    headings = re.findall(r"(?m)^#+ (.+)$", text_of(document))
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", text_of(document)):
        path, _, anchor = target.partition("#")
        there = (ROOT / document).parent / path if path else ROOT / document
        assert there.exists(), target
        assert not anchor or anchor in anchors(str(there.relative_to(ROOT))), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_are_named_exist(document: str) -> None:
    for name in re.findall(r"`([\w.*-]+/[\w./*-]*)`", text_of(document)):
        found = any(ROOT.glob(name)) or any(ROOT.glob(f"*/{name}"))
        assert found or name.startswith(MADE_BY_RUNS), name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_tests_that_are_named_exist(document: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", text_of(document)))
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    defined = {name for source in sources for name in re.findall(r"def (test_\w+)", source)}
    assert named <= defined


@pytest.mark.parametrize("document", ["README.md", "docs/runbook.md"])
def test_make_targets_and_modules_that_are_shown_exist(document: str) -> None:
    for line in shown(document):
        command, *words = line.split()
        if command == "make":
            target, *variables = words
            assert re.search(rf"(?m)^{target}:", MAKEFILE), line
            for variable in variables:
                assert f"$({variable.partition('=')[0]})" in MAKEFILE, line
        elif words[:1] == ["-m"]:
            assert find_spec(words[1]) is not None, line
            if words[1] == "tests.simulation":
                source = (ROOT / "tests/simulation/__main__.py").read_text(encoding="utf-8")
                assert all(f'"{word}"' in source for word in words if word.startswith("--")), line


def test_the_claims_life_is_told_as_it_is_executed() -> None:
    states = "claimed|unknown|open|released|settled"
    rows = re.findall(
        rf"(?m)^\| ({states}) \| (\w+) \| ({states}) \|", text_of("docs/architecture.md")
    )
    told = {(before, event): after for before, event, after in rows}
    assert len(told) == len(rows)
    assert told == {(b.value, e.value): after.value for (b, e), after in TRANSITIONS.items()}


def test_the_runbook_knows_every_event_that_is_not_routine() -> None:
    runbook = text_of("docs/runbook.md")
    events = {event for folder in SERVICES for event in warnings_in(ROOT / folder)}
    assert "claims_overdue" in events
    assert {event for event in events if f"`{event}`" not in runbook} == set()


def warnings_in(folder: Path) -> set[str]:
    """Events that are logged as warnings or worse."""
    events = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Name(id="_log"), attr="warning" | "error" | "critical"
                    ),
                    args=[ast.Constant(value=str(event))],
                ):
                    events.add(event)
    return events
