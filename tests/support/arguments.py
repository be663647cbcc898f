"""What a command line may say: of numbers, enough; of folders, those that are there."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Number = TypeVar("Number", int, float)


def count(text: str) -> int:
    """A whole number of at least 1: with none of a thing nothing would be checked or measured.
    Raises ArgumentTypeError."""
    return _least(int, text, "a whole number of at least 1", 1)


def duration_s(text: str) -> float:
    """Seconds, at least 0.1. Raises ArgumentTypeError."""
    return _least(float, text, "a number of seconds, at least 0.1", 0.1)


def rate(text: str) -> float:
    """So many a second, at least 1. Raises ArgumentTypeError."""
    return _least(float, text, "a number of at least 1", 1.0)


def folder(text: str) -> str:
    """A folder that is there. Raises ArgumentTypeError."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no folder")
    return text


def _least(read: Callable[[str], Number], text: str, wanted: str, least: float) -> Number:
    try:
        number = read(text)
    except ValueError:
        number = None
    if number is None or not math.isfinite(number) or number < least:
        raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
    return number
