"""The documents against the tree: what they name exists, and what must be named is."""

from __future__ import annotations

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from functions.core.claim import TRANSITIONS
from tests.simulation.ablations import ABLATIONS
from tests.support.guides import EVENTS, pages

ROOT = Path(__file__).parent.parent
DOCUMENTS = (
    "README.md",
    "CHANGELOG.md",
    "tests/README.md",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))),
)
MADE_BY_RUNS = (".build/", "benchmarks/out/", "sandbox-logs/")
SERVICES = ("venue", "runtime", "feeder", "functions", "local", "executor")
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


@pytest.mark.parametrize("document", DOCUMENTS)
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


def test_the_readme_counts_the_ablations_that_there_are() -> None:
    (told,) = re.findall(r"\| ablations caught \| all \| (\d+) of (\d+);", text_of("README.md"))
    assert set(told) == {str(len(ABLATIONS))}


def test_the_guides_know_every_event_that_is_not_routine() -> None:
    told = "\n".join(pages().values())
    events = logged("warning", "error", "critical")
    assert "claims_overdue" in events
    assert {event for event in events if f"`{event}`" not in told} == set()


def test_what_wants_a_person_is_logged_as_critical_and_nothing_else_is() -> None:
    """Whatever is logged so is an alarm in the cloud (infra/alarms-lines.yml)."""
    alarms = text_of(EVENTS).partition("\n## Alarms\n")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| (`.*?) \| ", alarms)
    told = {event for row in rows for event in re.findall(r"`(\w+)`", row)}
    assert told == logged("critical")


def logged(*levels: str) -> set[str]:
    """Events that are logged at one of these levels."""
    events = set()
    for path in (path for folder in SERVICES for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="_log"), attr=level),
                    args=[ast.Constant(value=str(event))],
                ) if level in levels:
                    events.add(event)
                case ast.Call(
                    func=ast.Name(id="_say"), args=[ast.Constant(value=level), ast.Dict() as said]
                ) if level in levels:
                    events |= {
                        each.value
                        for each in said.values
                        if isinstance(each, ast.Constant) and isinstance(each.value, str)
                    }
    return events
