"""What a view of the console is, and what all views share.

A view is one page (`/<name>`). The page is rendered on the server; while it is open, the browser
holds one event stream (`/events/<name>` with the page's query), on which the server sends those
parts of the page whose HTML has changed since it last sent them, at most five times a second. The
browser replaces the content of the element with that id, and does nothing else: all HTML and SVG
comes from the server.

A page's template extends `base.html`. Each part of it is made by a macro, of a template that
extends nothing (`<view>_parts.html`), which the page imports and `Pages.part` renders: so the page
and the stream show the same. A part that is not among the parts any more stays on the page as it
was: let a list be one part, or its rows parts within a part that says which rows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from aiohttp import web

    from executor.console.accounts import AccountsNow
    from executor.console.audience import Audience
    from executor.console.books import NewestBooks
    from executor.console.messages import Messages
    from executor.console.metrics import MetricsNow
    from executor.console.nats_now import NatsNow
    from executor.console.pages import Pages
    from executor.console.settings import ConsoleSettings
    from functions.ports import Store
    from local.status import SystemStatus

Query = Mapping[str, str]
"""Of the page's URL, as it came: a view takes nothing of it for granted."""


class View(Protocol):
    """One page. Only `run` and the routes await; the others answer from memory, in milliseconds."""

    name: str
    """Its path, e.g. `markets`."""
    title: str
    template: str
    """The page's template, which extends `base.html`."""

    def variables(self, query: Query) -> dict[str, Any]:
        """For the template, as of now."""

    def parts(self, query: Query) -> dict[str, str]:
        """Element id -> its HTML, as of now, of all that changes by itself. Raises nothing."""

    def data_at_ms(self) -> int:
        """Epoch ms of the newest data behind `parts`; 0: none has come. Two seconds later the page
        says that it is stale."""

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """What else it answers: POSTs of its forms, pages of details. POSTs have passed the checks
        of `executor.console.security` by then."""

    async def run(self) -> None:
        """What it does beside the requests, until cancelled. If it ends or raises, that is logged,
        and it is called again after a while."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What views are made of; `<module>.<View>(shared)`."""

    settings: ConsoleSettings
    nats: NatsNow
    """`await nats.connected()` in a view's `run` waits for the first connection."""
    stores: Mapping[str, Store]
    """By account. Empty until they could be opened: ask for one with `get`, each time."""
    accounts: AccountsNow
    """Each account, its limits and its configuration, read each second while somebody looks."""
    audience: Audience
    """Whether somebody looks: what is read for people alone waits for it."""
    metrics: MetricsNow
    """What the processes count, as far as a view wants it (`want`)."""
    books: NewestBooks
    """The newest book of each market; the view *Markets* follows them."""
    pages: Pages
    """The templates."""
    messages: Messages
    """How the POST of a form ends: `raise messages.see("/markets", "Done.")`."""
    system: Callable[[], SystemStatus | None]
    """What the supervisor tells; None: there is none, or it cannot be read."""
    now_ms: Callable[[], int]

    def nats_problem(self) -> str:
        """Why nothing comes from NATS, a sentence; empty: it does."""
        return self.nats.problem() or self.books.silence()
