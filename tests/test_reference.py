"""docs/reference against the code: what is made of it is current, and tells all there is."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from executor.command_line import app
from runtime.settings import EnvironmentSettings
from tests.reference import commands, configuration, events, metrics
from tests.reference.__main__ import FOLDER, PAGES, current

ROOT = Path(__file__).parent.parent
FOLDERS = ("venue", "runtime", "feeder", "functions", "local", "executor")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_what_the_code_says(page: str) -> None:
    text = (FOLDER / page).read_text(encoding="utf-8")
    assert text == current(page, text), "run `python -m tests.reference`"


def test_a_page_has_one_part_that_is_made() -> None:
    with pytest.raises(ValueError, match="0 parts"):
        current("metrics.md", "# Metrics\n")


def all_settings() -> set[type[EnvironmentSettings]]:
    """Every class of settings, wherever one is declared."""
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        if re.search(r"(?m)^class \w+\(.*(Settings|$)", path.read_text(encoding="utf-8")):
            import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found: set[type[EnvironmentSettings]] = set()
    waiting: list[type[EnvironmentSettings]] = [EnvironmentSettings]
    while waiting:
        kind = waiting.pop()
        found.add(kind)
        waiting.extend(each for each in kind.__subclasses__() if each not in found)
    return {each for each in found if each.__module__.partition(".")[0] in FOLDERS}


def test_every_variable_of_any_settings_is_told() -> None:
    told = set(configuration.variables())
    missing = {
        f"{kind.__name__}.{name}"
        for kind in all_settings()
        for name in kind.model_fields
        if name not in told
    }
    assert missing == set(), "say in tests/reference/configuration.py which process reads it"


def test_every_variable_says_what_it_is() -> None:
    part = configuration.part()
    assert re.findall(r"(?m)^\| `(\w+)` \|.*\|  \|$", part) == []
    assert "| `MAX_POSITIONS` | whole number from 1 to 100 | `3` | worker, schedule" in part


def test_every_command_is_told() -> None:
    told = {name.partition(" ")[0] for name in commands.names()}
    registered = {
        each.name or each.callback.__name__ for each in app.registered_commands if each.callback
    }
    assert told == registered | {each.name for each in app.registered_groups}
    part = commands.part()
    assert "### `executor halt`" in part
    assert "`--why`" in part


def test_events_have_their_levels_and_fields() -> None:
    part = events.part()
    assert "| `claims_overdue` | critical | `orders` |" in part
    assert "| `lease_lost` | warning | `series`, `epoch` |" in part
    assert "| `executed` | info |" in part


def test_metrics_have_the_names_that_are_scraped() -> None:
    part = metrics.part()
    assert "| `worker_books_total` | counter |" in part
    assert "| `feeder_connections_total` | counter | `line`: 0, 1 |" in part
