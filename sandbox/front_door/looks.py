"""What the commands that look must say, while the system runs and afterwards."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from sandbox.front_door.person import Answer, Person

COMMANDS: Final = (("status",), ("positions", "--ended", "100"), ("decisions",))


async def looked_at(person: Person, *, runs: bool) -> list[str]:
    """A sentence for each command that does not answer as it should."""
    *answers, answer = await asyncio.gather(
        *(person.types(*command, "--json") for command in COMMANDS), person.types("status")
    )
    found = [
        _said(command, each)
        for command, each in zip(COMMANDS, answers, strict=True)
        if each.code or _object_in(each) is None or each.stderr
    ]
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
