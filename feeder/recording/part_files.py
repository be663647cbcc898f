"""The files of a recording: `part-000001-20261122T190000Z.jsonl.gz`, in the order of their number.

The time in the name is for people; a clock may be set back, so it orders nothing.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

GZIP: Final = 31
"""zlib's window bits that mean a gzip header and trailer."""
_NAME: Final = re.compile(r"part-(\d{6,})-\d{8}T\d{6}Z\.jsonl\.gz")


def part_files(directory: Path) -> list[Path]:
    """Those of a directory, in order. Raises OSError."""
    return sorted(
        (path for path in directory.iterdir() if _NAME.fullmatch(path.name)), key=part_number
    )


def part_number(path: Path) -> int:
    """Of a file's name, 0 if it is not one of ours."""
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else 0


def part_name(number: int) -> str:
    """The name of a file that begins now."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return f"part-{number:06}-{moment}.jsonl.gz"
