"""What the commands that look must say, while the system runs and afterwards."""

from __future__ import annotations

import json
from typing import Any, Final

from sandbox.front_door.person import Answer, Person

COMMANDS: Final = (("status",), ("positions", "--ended", "100"), ("decisions",))


async def looked_at(person: Person, *, runs: bool) -> list[str]:
    """A sentence for each command that does not answer as it should."""
    found = []
    for command in COMMANDS:
        answer = await person.types(*command, "--json")
        if answer.code or _object_in(answer) is None or answer.stderr:
            found.append(_said(command, answer))
    answer = await person.types("status")
    wanted = "running" if runs else "stopped"
    if answer.code or wanted not in answer.stderr:
        found.append(_said(("status",), answer))
    return found


async def replayed_again(person: Person) -> tuple[list[str], list[str]]:
    """(what the replay of the recording says, what is wrong with it)."""
    answer = await person.types("replay", str(person.data / "recording"), "--json")
    report = _object_in(answer)
    if report is None:
        return [], [_said(("replay",), answer)]
    line = (
        f"replayed: {report['decisions']} decisions, {report['equal']} equal, "
        f"{report['different']} different, not made again: {report['not_again'] or 'none'}"
    )
    if report["different"] or not report["equal"]:
        return [line], [f"the recording: {line}"]
    return [line], []


def _object_in(answer: Answer) -> dict[str, Any] | None:
    try:
        found = json.loads(answer.stdout)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _said(command: tuple[str, ...], answer: Answer) -> str:
    text = (answer.stderr or answer.stdout).strip()[:300]
    return f"executor {' '.join(command)}: exit code {answer.code}: {text}"
