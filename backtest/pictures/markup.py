"""Words, tables and pictures as HTML. Whatever they say is escaped here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

import msgspec

from backtest.pictures.canvas import DARK, GROUNDS, LIGHT, VARIABLES, plain

_STYLE: Final = """
:root{LIGHT}
@media screen and (prefers-color-scheme:dark){:root{DARK}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:56rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.5rem;margin:0 0 .2rem}
h2 small{font-weight:400;letter-spacing:0;color:var(--muted);margin-left:.5rem}
h2{font-size:1rem;letter-spacing:.04em;margin:2.4rem 0 .5rem;padding-top:.5rem;
border-top:1px solid var(--grid)}
section:first-of-type small{font-weight:700;color:var(--ink)}
p{margin:.3rem 0;overflow-wrap:anywhere}
.wide{overflow-x:auto;margin:.6rem 0 1rem}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.2rem 1.4rem .2rem 0;vertical-align:top}
th{font-weight:600;color:var(--muted);vertical-align:bottom}
td{border-top:1px solid var(--grid)}
td.in{padding-left:1rem}
thead+tbody td:first-child{min-width:11rem}
.n{text-align:right}.w{white-space:nowrap}
figure{margin:1.2rem 0;overflow-x:auto}
svg.picture{display:block;width:100%;min-width:38rem;height:auto}
svg.picture text{font-family:system-ui,sans-serif}
figcaption{color:var(--muted);font-size:.8rem;margin-top:.3rem;overflow-wrap:anywhere}
.source{display:block}
@page{margin:14mm}
@media print{body{font-size:10pt}main{max-width:none;padding:0}
th,td{padding-top:.05rem;padding-bottom:.05rem}figure,tr{break-inside:avoid}h2{break-after:avoid}.wide,figure{overflow:visible}svg.picture{min-width:0}}
"""


class PageTable(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of text, each as long as `numeric`; the head may be empty."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[bool]
    """Which columns are numbers, to the right."""
    whole: Sequence[bool]
    """Which columns keep each line whole."""


class PageSection(msgspec.Struct, frozen=True, kw_only=True):
    """One section of the report; without a title it goes on with what is above it."""

    title: str = ""
    says: str = ""
    """What it is about."""
    parts: Sequence[str | PageTable] = ()
    """Its paragraphs and tables."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture, ready to be put into a page."""

    svg: str
    caption: str
    source: str
    """Where its data come from, and their licence."""


def page_of(
    title: str, sections: Sequence[PageSection], pictures: Mapping[str, Sequence[Picture]]
) -> str:
    """The whole file. Pictures stand at the end of the section of that title, else at the end."""
    titles = {section.title for section in sections}
    rest = [PageSection(title=name) for name in pictures if name not in titles]
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{_text(title)}</title>",
        f"<style>{_style()}</style></head><body><main>",
        f"<h1>{_text(title)}</h1>",
        *(_section(section, pictures.get(section.title, ())) for section in (*sections, *rest)),
        "</main></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _section(section: PageSection, pictures: Sequence[Picture]) -> str:
    says = f" <small>{_text(section.says)}</small>" if section.says else ""
    parts = [
        f"<h2>{_text(section.title)}{says}</h2>" if section.title else "",
        *(
            f"<p>{_lines(part)}</p>" if isinstance(part, str) else _table(part)
            for part in section.parts
        ),
        *(_figure(picture) for picture in pictures),
    ]
    return f"<section>{''.join(parts)}</section>"


def _table(table: PageTable) -> str:
    looks = [
        "n" * number + " w" * whole
        for number, whole in zip(table.numeric, table.whole, strict=True)
    ]
    head = ""
    if any(table.head):
        head = f"<thead>{_row('th', table.head, looks)}</thead>"
    rows = "".join(_row("td", row, looks) for row in table.rows)
    return f'<div class="wide"><table>{head}<tbody>{rows}</tbody></table></div>'


def _row(tag: str, cells: Sequence[str], looks: Sequence[str]) -> str:
    inner = (
        f"<{tag}{_class(cell, look)}>{_lines(cell.strip())}</{tag}>"
        for cell, look in zip(cells, looks, strict=True)
    )
    return f"<tr>{''.join(inner)}</tr>\n"


def _class(cell: str, look: str) -> str:
    names = f"{look} in" if cell.startswith("  ") and "n" not in look else look
    return f' class="{names.strip()}"' if names else ""


def _figure(picture: Picture) -> str:
    return (
        f"<figure>{picture.svg}<figcaption>{_text(picture.caption)} "
        f'<span class="source">Source: {_text(picture.source)}</span></figcaption></figure>'
    )


def _lines(text: str) -> str:
    return "<br>".join(_text(line) for line in text.split("\n"))


def _text(text: str) -> str:
    return escape(plain(text))


def _style() -> str:
    light, dark = (
        f"--ground:{ground};" + "".join(f"{VARIABLES[role]}:{colours[role]};" for role in VARIABLES)
        for ground, colours in zip(GROUNDS, (LIGHT, DARK), strict=True)
    )
    return _STYLE.replace("LIGHT", light).replace("DARK", dark)
