"""What can be wrong with a recording."""

from __future__ import annotations


class RecordingError(Exception):
    """A recording that cannot be begun, written or read; the text is one sentence with the path."""


class UnusableDirectoryError(RecordingError):
    """There is nothing wrong with the disk: another directory has to be given."""


class LineError(ValueError):
    """A line that is no record; the text says why."""
