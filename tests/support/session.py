"""What one process of the suite starts once, whoever needs it first, and stops at its end."""

from __future__ import annotations

from contextlib import ExitStack

UNTIL_THE_SESSION_ENDS = ExitStack()
"""Closed by a fixture of `tests/conftest.py`."""
