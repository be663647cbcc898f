"""The documents against the tree: what they name exists, and what must be named is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from functions.core.claim import TRANSITIONS
from tests.reference.events import names
from tests.simulation.ablations import ABLATIONS
from tests.support.guides import EVENTS, pages

ROOT = Path(__file__).parent.parent
DOCUMENTS = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "tests/README.md",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))),
)
MADE_BY_RUNS = (".build/", "benchmarks/out/", "executor-data/", "sandbox-logs/")
CODE = (
    "backtest", "benchmarks", "deploy", "executor", "feeder", "functions", "infra", "local",
    "protocol", "recordings", "runtime", "sandbox", "strategies", "venue",
)  # fmt: skip
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def shown(document: str) -> list[str]:
    """Commands stand on indented lines."""
    return re.findall(r"(?m)^    (\S.*)$", text_of(document))


def _unassigned(line: str) -> list[str]:
    """Without variables that are set for this command alone."""
    words = line.split()
    while words[1:] and re.match(r"[A-Z_]+=", words[0]):
        del words[0]
    return words


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
        command, *words = _unassigned(line)
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


def code() -> Iterator[tuple[str, str]]:
    """The path and the text of each file that is no document."""
    paths = [ROOT / name for name in ("Makefile", "serverless.yml", ".ci/run", "pyproject.toml")]
    for folder in CODE:
        found = (ROOT / folder).rglob("*")
        paths += (path for path in found if path.suffix in (".py", ".yml", ".js", ".html"))
    for path in paths:
        if "node_modules" not in path.parts:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def test_what_code_says_of_documents_leads_to_a_page_and_to_a_section() -> None:
    found = 0
    for path, text in code():
        for page in re.findall(r"\bdocs/[\w/-]+\.(?:md|svg|png)", text):
            found += 1
            assert (ROOT / page).exists(), f"{path}: {page}"
        named = [
            *re.findall(r"(docs/[\w/-]+\.md), \"([^\"]+)\"", text),
            *(
                (page, title)
                for title, page in re.findall(r"\"([^\"]+)\" in (docs/[\w/-]+\.md)", text)
            ),
        ]
        for page, title in named:
            assert f"\n## {title}\n" in text_of(page), f"{path}: {title} in {page}"
    assert found > 10


def test_the_claims_life_is_told_as_it_is_executed() -> None:
    states = "claimed|unknown|open|released|settled"
    rows = re.findall(
        rf"(?m)^\| ({states}) \| (\w+) \| ({states}) \|", text_of("docs/explanation/claims.md")
    )
    told = {(before, event): after for before, event, after in rows}
    assert len(told) == len(rows)
    assert told == {(b.value, e.value): after.value for (b, e), after in TRANSITIONS.items()}


def test_the_figures_count_the_ablations_that_there_are() -> None:
    (told,) = re.findall(
        r"\| ablations caught \| all \| (\d+) of (\d+);", text_of("docs/figures.md")
    )
    assert set(told) == {str(len(ABLATIONS))}


def test_the_guides_know_every_event_that_is_not_routine() -> None:
    told = "\n".join(pages().values())
    events = names("warning", "error", "critical")
    assert "claims_overdue" in events
    assert {event for event in events if f"`{event}`" not in told} == set()


def test_what_wants_a_person_is_logged_as_critical_and_nothing_else_is() -> None:
    """Whatever is logged so is an alarm in the cloud (infra/alarms-lines.yml)."""
    alarms = text_of(EVENTS).partition("\n## Alarms\n")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| (`.*?) \| ", alarms)
    told = {event for row in rows for event in re.findall(r"`(\w+)`", row)}
    assert told == names("critical")
