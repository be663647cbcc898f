"""What a check before a deployment has found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

SERVICE: Final = "streaming-executor"
"""As in serverless.yml: stacks and tables are named after it."""

Client = Callable[[str], Any]
"""The SDK's client of a service, by its name."""


@dataclass
class Findings:
    """One line each: what is there, and what has to be mended first."""

    found: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def one_line(error: Exception) -> str:
    """What the SDK says, without line ends."""
    return " ".join(str(error).split())[:300]
