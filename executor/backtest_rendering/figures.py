"""How a backtest's report writes numbers, and the shape of its sections. Pure.

What is not known is a dash. Shares of one are written as percent, money in USD to the cent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from backtest.measures.sections import Both, Estimate, Rate
from executor.rendering import BAD, GOOD, plain

_T = TypeVar("_T")
NONE: Final = "-"
_WIDE_TICKS: Final = 10
"""From here on nobody reads tenths of a tick."""


def section(name: str, says: str, *parts: RenderableType) -> Group:
    """A heading with what the section is about, and its parts, indented."""
    head = Text.assemble((name, "bold"), "  " if says else "", (says, "dim"))
    return Group("", head, *map(indented, parts))


def indented(part: RenderableType) -> RenderableType:
    """A part of a section; an empty text is an empty line."""
    return part if part == "" else Padding(part, (0, 0, 0, 2), expand=False)


def table(first: str, *columns: str, gap: int = 2) -> Table:
    """Rows by name, with columns of numbers so far apart."""
    made = Table(box=None, pad_edge=False, header_style="dim", padding=(0, gap, 0, 0))
    made.add_column(first, no_wrap=True)
    for column in columns:
        made.add_column(column, justify="right", no_wrap=True)
    return made


def source(text: str) -> Text:
    """Where books come from, with its addresses whole: a licence wants them named."""
    return Text("".join(each if each.isprintable() else " " for each in text))


def count(number: int) -> str:
    return f"{number:,}"


def many(number: int, what: str) -> str:
    """`1 market`, `2 markets`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def number(value: float | None, digits: int = 1, *, sign: bool = False) -> str:
    """Without a sign before a zero."""
    if value is None:
        return NONE
    rounded = round(value, digits) + 0.0  # -0.0 becomes 0.0
    return f"{rounded:{'+' if sign and rounded else ''},.{digits}f}"


def percent(share: float | None, digits: int = 0, *, sign: bool = False) -> str:
    """A share of one."""
    return NONE if share is None else f"{number(share * 100, digits, sign=sign)}%"


def fraction(hits: int, of: int) -> str:
    """`99.4%`: never 0% or 100% of what is not none or all."""
    if not of:
        return NONE
    share = hits / of
    digits = 0 if share in (0, 1) or 0.095 <= share < 0.985 else 1
    shown = percent(share, digits)
    if shown == "0.0%" and hits:
        return "<0.1%"
    return ">99.9%" if shown == "100.0%" and hits < of else shown


def small(share: float | None) -> str:
    """A share that may be a very small one."""
    return NONE if share is None else fraction(round(share * 1e9), 10**9)


def usd(amount_e6: int | None, *, sign: bool = True) -> str:
    """To the cent."""
    return NONE if amount_e6 is None else number(amount_e6 / 1e6, 2, sign=sign)


def ticks(estimate: Estimate) -> Text:
    """`+0.5 [-1.3, +2.4]`, coloured where zero is outside."""
    wide = max(map(abs, (estimate.value or 0.0, estimate.low or 0.0, estimate.high or 0.0)))
    digits = 1 if wide < _WIDE_TICKS else 0
    return _interval(estimate, lambda value: number(value, digits, sign=True), "")


def returns(estimate: Estimate) -> Text:
    """`+5% [-41, +51]`."""
    return _interval(estimate, lambda value: number(value * 100, 0, sign=True), "%")


def rate(hits: Rate) -> str:
    """`56% [34, 75]`."""
    if hits.value is None:
        return NONE
    text = percent(hits.value)
    if hits.low is None or hits.high is None:
        return text
    return f"{text} [{number(hits.low * 100, 0)}, {number(hits.high * 100, 0)}]"


def rate_of(hits: Rate) -> str:
    """`56% of 18 [34, 75]`."""
    share, _, interval = rate(hits).partition(" ")
    return share if share == NONE else f"{share} of {hits.of:,} {interval}".rstrip()


def both(pair: Both[_T], shown: Callable[[_T], str]) -> str:
    """`18 / 17`."""
    return f"{shown(pair.unchanged)} / {shown(pair.next)}"


def reasons(counts: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    """Those that happened, in words, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda each: -each[1])
    return ((words(name), found) for name, found in ordered if found)


def words(name: str) -> str:
    """`outside_price_zone` as a person says it."""
    return name.replace("_", " ")


def money_style(amount_e6: int | None) -> str:
    return "" if not amount_e6 else GOOD if amount_e6 > 0 else BAD


def _interval(estimate: Estimate, shown: Callable[[float], str], unit: str) -> Text:
    if estimate.value is None:
        return plain(NONE)
    text = f"{shown(estimate.value)}{unit}"
    if estimate.low is None or estimate.high is None:
        return plain(text)
    style = GOOD if estimate.low > 0 else BAD if estimate.high < 0 else ""
    return plain(f"{text} [{shown(estimate.low)}, {shown(estimate.high)}]", style)
