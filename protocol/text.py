"""Text from outside on its way into a message or an item.

JSON, environment variables and file names can hold half a surrogate pair. Such a str has no UTF-8:
whoever encodes it raises UnicodeEncodeError, and many readers refuse its JSON escape. So wherever
text leaves a process, halves become their escape, as text (`\\ud800`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec


def whole(text: str) -> str:
    """`text` with each half of a surrogate pair as its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def encoded(encode: Callable[[Any], bytes], message: Any) -> bytes:
    """What msgspec's `encode` makes of the message, with every text in it `whole`.

    Costs nothing where all texts are.
    """
    try:
        return encode(message)
    except UnicodeEncodeError:
        return encode(_whole_in(msgspec.to_builtins(message)))


def _whole_in(value: Any) -> Any:
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return {_whole_in(key): _whole_in(each) for key, each in value.items()}
    return [_whole_in(each) for each in value] if isinstance(value, list | tuple) else value
