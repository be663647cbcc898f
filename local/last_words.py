"""What a process said last that tells a person why it ended: one short sentence of a line."""

from __future__ import annotations

import json
import re
import signal
from typing import Final

from runtime.addresses import origins
from runtime.output import one_line

WORDS_MAX: Final = 240
"""Characters: one or two lines of a terminal."""
_has_bad_level: Final = re.compile(rb'"level": ?"(?:error|critical)"').search
_ROUTINE: Final = (b"[INF]", b"[DBG]", b"[TRC]")
"""Of nats-server's lines."""
_WHY: Final = ("error", "why", "reason", "text", "hint")
"""Fields of an event that say more than its name, the best first."""


def is_trouble(line: bytes) -> bool:
    """Whether a line of a log may be the reason of an end: an event of level error or critical, or
    what is no event, such as the one line of a refused configuration."""
    if line.startswith(b"{"):
        return _has_bad_level(line) is not None
    return bool(line.strip()) and not any(mark in line for mark in _ROUTINE)


def in_words(line: bytes) -> str:
    """Such a line for a person, at most WORDS_MAX characters."""
    text = line.decode("utf-8", "replace")
    try:
        said = json.loads(text)
        words = _event_in_words(said) if isinstance(said, dict) else text
    except (ValueError, RecursionError):
        words = text
    words = origins(one_line(words)).removeprefix("cannot start: ")
    return words if len(words) <= WORDS_MAX else f"{words[:WORDS_MAX]} ..."


def _event_in_words(said: dict[str, object]) -> str:
    event = str(said.get("event", "")).replace("_", " ")
    exception = said.get("exception")
    if isinstance(exception, str) and exception.strip():
        return f"{event}: {exception.strip().splitlines()[-1]}"
    more = next((value for key in _WHY if isinstance(value := said.get(key), str)), "")
    return f"{event}: {more}" if more else event


def why_ended(code: int, words: str) -> str:
    """In parentheses behind "ended": `exit code 1: ...`, `SIGKILL`."""
    if code < 0:
        try:
            how = signal.Signals(-code).name
        except ValueError:
            how = f"signal {-code}"
    else:
        how = f"exit code {code}"
    return f"{how}: {words}" if words else how
