"""What a POST has to say: shown once, on the page that the browser is sent to afterwards."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Final

from aiohttp import web

KEPT_MAX: Final = 50
_NAME: Final = "message"
_NAMED: Final = re.compile(rf"[?&]{_NAME}=[^&]*$")


@dataclass(frozen=True)
class Message:
    """One or more sentences."""

    text: str
    failed: bool = False


class Messages:
    """Those that no page has shown yet. The URL carries only a random name: nobody can put words
    on the page with a link."""

    def __init__(self) -> None:
        self._kept: dict[str, Message] = {}

    def see(self, path: str, text: str, *, failed: bool = False) -> web.HTTPSeeOther:
        """To be raised: sends the browser to `path`, one of ours, which then shows the text."""
        while len(self._kept) >= KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        name = secrets.token_urlsafe(8)
        self._kept[name] = Message(text, failed)
        path = _NAMED.sub("", path)
        return web.HTTPSeeOther(f"{path}{'&' if '?' in path else '?'}{_NAME}={name}")

    def take(self, query: dict[str, str]) -> Message | None:
        """The one that a page's query names; what names it is taken out of the query."""
        return self._kept.pop(query.pop(_NAME, ""), None)
