"""What a process does between two orders, so that the next one finds cold caches."""

from __future__ import annotations

import json
import random
import time
from typing import Final

_MEMORY: Final = bytearray(16 << 20)


def other_work(seconds: float) -> None:
    """Decodes, sorts and encodes books, over more memory than the nearer caches hold."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        book = [{"price": str(random.random()), "size": str(n)} for n in range(2_000)]
        sorted(json.loads(json.dumps(book)), key=lambda level: level["price"])
        sum(_MEMORY[::64])
