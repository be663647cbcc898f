"""The templates: pages, and parts of pages.

A page extends `base.html`. What changes by itself on it is made by macros of a template that
extends nothing (`markets_parts.html`), which the page imports: so the page and the stream show the
same. All text is escaped; a name that a template does not get is an error, never an empty string.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from executor.console.charts.bars import share_bar
from executor.console.charts.line import sparkline
from executor.console.formats import FILTERS

_FOLDER: Final = Path(__file__).parent / "templates"


class Pages:
    """`base`: what `base.html` wants on every page, as of now."""

    def __init__(self, base: Callable[[], Mapping[str, Any]] = dict) -> None:
        self.base = base
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(
            FILTERS, key=self.key, share_bar=share_bar, sparkline=sparkline
        )

    def render(self, template: str, **variables: Any) -> str:
        """A whole page. Raises jinja2.TemplateError, and whatever a variable raises.

        `view` (the name of the view that it belongs to) and `message` (`messages.Message`) may be
        left out.
        """
        given = {"view": "", "message": None, **self.base(), **variables}
        return self._environment.get_template(template).render(given)

    def part(self, template: str, macro: str, **arguments: Any) -> str:
        """What a macro makes of its arguments. Raises likewise."""
        module: Any = self._environment.get_template(template).module
        return str(getattr(module, macro)(**arguments))

    @staticmethod
    def key(text: str) -> str:
        """For ids and paths: 16 characters that name `text`, and are none of it."""
        return hashlib.blake2s(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
