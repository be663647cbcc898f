"""Subject and stream names: the only place where they are spelled."""

from __future__ import annotations

import re
from typing import Final

import msgspec

_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream must look like; created or verified at start by whoever needs it."""

    name: str
    subjects: tuple[str, ...]
    memory: bool
    max_age_s: int
    max_msgs_per_subject: int
    max_bytes: int
    duplicate_window_s: int = 0
    """A message id seen within this time is the same message; 0: as the server has it by default,
    for streams whose messages have no id."""


# The newest book of each market, nothing older: the server itself conflates. A book older than
# 30 s is worth nothing, and memory storage because losing it costs nothing (invariant 7).
BOOKS: Final = StreamSpec(
    name="BOOKS",
    subjects=("book.>",),
    memory=True,
    max_age_s=30,
    max_msgs_per_subject=1,
    max_bytes=256 * 1024 * 1024,
)

# Decisions on their way to the decision log. A day, because the log's consumer may be down.
DECISIONS: Final = StreamSpec(
    name="DECISIONS",
    subjects=("decision.>",),
    memory=False,
    max_age_s=86_400,
    max_msgs_per_subject=-1,
    max_bytes=256 * 1024 * 1024,
)

# The venue's reports of our trades, deduplicated by trade and status. Three days: longer than any
# worker is away, and what is lost is asked for again by reconciliation (invariant 7).
FILLS: Final = StreamSpec(
    name="FILLS",
    subjects=("fill.>",),
    memory=False,
    max_age_s=3 * 86_400,
    max_msgs_per_subject=-1,
    max_bytes=256 * 1024 * 1024,
    duplicate_window_s=3_600,
)


def book_subject(series: str, condition_id: str) -> str:
    """`book.<series>.<condition id>`. Raises ValueError when a part is not a plain token."""
    return f"book.{_checked(series)}.{_checked(condition_id)}"


def decision_subject(strategy: str) -> str:
    """`decision.<strategy>`. Raises ValueError when the name is not a plain token."""
    return f"decision.{_checked(strategy)}"


def config_subject(account: str) -> str:
    """`config.<account>`: a nudge that its configuration has changed, in no stream; the version as
    text. Nobody relies on it. Raises ValueError when the name is not a plain token."""
    return f"config.{_checked(account)}"


def fill_subject(condition_id: str) -> str:
    """`fill.<condition id>`. Raises ValueError when the id is not a plain token."""
    return f"fill.{_checked(condition_id)}"


def _checked(token: str) -> str:
    if _TOKEN.fullmatch(token) is None:
        raise ValueError(f"not usable in a subject: {token!r}")
    return token
