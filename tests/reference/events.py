"""Every event of the log, by reading the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from tests.reference.tables import table

ROOT: Final = Path(__file__).parents[2]
FOLDERS: Final = ("venue", "runtime", "feeder", "functions", "local", "executor")
LEVELS: Final = ("critical", "error", "warning", "info", "debug")
_SHOWN_AS: Final = {"exc_info": "exception"}


@dataclass(frozen=True)
class LoggedEvent:
    """One call that logs."""

    event: str
    level: str
    fields: tuple[str, ...]
    module: str


NAMED_ELSEWHERE: Final = (
    LoggedEvent("lease_acquired", "info", ("series", "epoch"), "feeder.books.lease_keeper"),
    LoggedEvent("lease_lost", "warning", ("series", "epoch"), "feeder.books.lease_keeper"),
    *(
        LoggedEvent(event, "warning", ("error",), "feeder.recording.recorded_messages")
        for event in ("books_not_followed", "decisions_not_read")
    ),
    *(
        LoggedEvent(
            result,
            "info",
            ("market", "outcome", "reason", "numbers", "order", "state", "text"),
            "functions.handlers.report_decisions",
        )
        for result in ("executed", "refused")
    ),
)
"""Where the call that logs does not say the event, or not the level."""
OF_THE_LOG_ITSELF: Final = (
    LoggedEvent("crashed", "critical", ("exception",), "runtime.log"),
    LoggedEvent("uncaught", "error", ("where", "exception"), "runtime.log"),
    LoggedEvent("library", "warning", ("logger", "text", "exception"), "runtime.log"),
)
"""What nobody caught, and what libraries say: at their level, from `warning` on."""


@cache
def logged() -> tuple[LoggedEvent, ...]:
    """All of them."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return (*(event for path in paths for event in _in_file(path)), *OF_THE_LOG_ITSELF)


def names(*levels: str) -> set[str]:
    """Events that are logged at one of these levels."""
    return {each.event for each in logged() if each.level in levels}


def part() -> str:
    """A row for each event."""
    rows = []
    for name in sorted(names(*LEVELS)):
        calls = [each for each in logged() if each.event == name]
        levels = [level for level in LEVELS if any(each.level == level for each in calls)]
        fields = dict.fromkeys(field for each in calls for field in each.fields)
        modules = dict.fromkeys(each.module for each in calls)
        rows.append(
            (
                f"`{name}`",
                ", ".join(levels),
                ", ".join(f"`{field}`" for field in fields),
                ", ".join(f"`{module}`" for module in modules),
            )
        )
    return table(("event", "level", "fields", "from"), rows)


def _in_file(path: Path) -> Iterator[LoggedEvent]:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)) if "_log" in text else ():
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="_log"), attr=level),
                args=[ast.Constant(value=str(event)), *_],
            ) if level in LEVELS:
                fields = tuple(
                    _SHOWN_AS.get(each.arg, each.arg) for each in node.keywords if each.arg
                )
                yield LoggedEvent(event, level, fields, module)
            # As `stack.callback(_log.info, "feeder_stopped")`.
            case ast.Call(
                args=[
                    ast.Attribute(value=ast.Name(id="_log"), attr=level),
                    ast.Constant(value=str(event)),
                ]
            ):
                yield LoggedEvent(event, level, (), module)
            case (
                ast.Call(func=ast.Attribute(value=ast.Name(id="_log")))
                | ast.Assign(value=ast.IfExp(body=ast.Attribute(value=ast.Name(id="_log"))))
            ):
                named = [each for each in NAMED_ELSEWHERE if each.module == module]
                assert named, f"{module}: which event is logged in line {node.lineno}?"
                yield from named
