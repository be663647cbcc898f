"""The part of a Dockerfile's language that ours uses; whatever else it says is refused."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

import msgspec

KNOWN: Final = frozenset(
    {"ARG", "CMD", "COPY", "ENV", "FROM", "HEALTHCHECK"}
    | {"LABEL", "RUN", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
)
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
_PAIR: Final = re.compile(r'(\S+?)=("(?:[^"\\]|\\.)*"|\S+)')


class DockerfileError(Exception):
    """One line: which line, and what is wrong with it."""


class Instruction(msgspec.Struct, frozen=True):
    """One instruction; a RUN's text is as the shell gets it."""

    line: int
    name: str
    text: str


def parse(text: str) -> list[Instruction]:
    """Instructions in their order. Raises DockerfileError on one that is not known here."""
    found: list[Instruction] = []
    begun, parts = 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        begun = begun or number
        parts.append(line.removesuffix("\\").strip())
        if line.endswith("\\"):
            continue
        name, _, rest = " ".join(parts).partition(" ")
        if name not in KNOWN:
            raise DockerfileError(f"Dockerfile line {begun}: {name} is not known here")
        found.append(Instruction(begun, name, rest.strip()))
        begun, parts = 0, []
    if parts:
        raise DockerfileError(f"Dockerfile line {begun}: the last line is continued")
    return found


def filled_in(text: str, variables: Mapping[str, str]) -> str:
    """`${NAME}` replaced. Raises DockerfileError for a variable that nothing has set."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in variables:
            raise DockerfileError(f"Dockerfile: {match[1]} is not set")
        return variables[match[1]]

    return _VARIABLE.sub(value, text)


def pairs(text: str) -> dict[str, str]:
    """`A=1 B="two"` of ENV and LABEL."""
    return {
        name: json.loads(value) if value.startswith('"') else value
        for name, value in _PAIR.findall(text)
    }


def exec_form(instruction: Instruction) -> list[str]:
    """The JSON array of CMD, VOLUME or a HEALTHCHECK's CMD. Raises DockerfileError for another."""
    try:
        words = json.loads(instruction.text[instruction.text.index("[") :])
    except ValueError:
        raise DockerfileError(
            f"Dockerfile line {instruction.line}: {instruction.name} is not in exec form"
        ) from None
    return [str(word) for word in words]


def in_context(path: PurePosixPath, patterns: Sequence[str]) -> bool:
    """Whether `.dockerignore` lets a file through: the last pattern that fits it or a folder above.

    Knows names, `*`, a leading `**/` and `!`.
    """
    let_through = True
    for pattern in patterns:
        wanted = pattern.startswith("!")
        anywhere = pattern.removeprefix("!").startswith("**/")
        bare = pattern.removeprefix("!").removeprefix("**/")
        for step in (path, *path.parents[:-1]):
            if fnmatch.fnmatchcase(step.name if anywhere else str(step), bare):
                let_through = wanted
    return let_through


def ignore_patterns(text: str) -> list[str]:
    """The lines of a `.dockerignore` that are patterns."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
