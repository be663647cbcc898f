"""A figure of matplotlib as SVG, for a page that is light or dark, or for a file of its own.

Figures are drawn in colours that stand for a role. In a page each becomes a variable of the page's
style, which differs between light and dark. A file of its own gets a white ground, because whatever
shows it may be light or dark and does not say.

Text stays text: it can be selected, and takes whatever sans-serif font the reader has. matplotlib
measures it in its own, which is wider than most, so what fits there fits anywhere.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# What is drawn in these is replaced: no palette has them.
INK: Final = "#010101"
MUTED: Final = "#020202"
GRID: Final = "#030303"
BLUE: Final = "#040404"
RED: Final = "#050505"
GREEN: Final = "#060606"
PURPLE: Final = "#070707"

# All series are of the palette of Okabe and Ito, which colour-blind readers can tell apart; in each
# theme those of it that have a contrast of 3 and more to the ground.
LIGHT: Final = {
    INK: "#1b1f24",
    MUTED: "#59626d",
    GRID: "#dfe3e8",
    BLUE: "#0072b2",
    RED: "#d55e00",
    GREEN: "#009e73",
    PURPLE: "#cc79a7",
}
DARK: Final = {
    INK: "#e8ebef",
    MUTED: "#a3adb8",
    GRID: "#343b44",
    BLUE: "#56b4e9",
    RED: "#e69f00",
    GREEN: "#009e73",
    PURPLE: "#cc79a7",
}
VARIABLES: Final = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    BLUE: "--blue",
    RED: "--red",
    GREEN: "--green",
    PURPLE: "--purple",
}
GROUNDS: Final = ("#ffffff", "#14181d")
"""Of a page, light and dark."""
WIDTH_IN: Final = 8.0
_FILE_SCALE: Final = 1.4
"""Pixels a point, in a file of its own."""
_FONT: Final = "system-ui, sans-serif"
_STYLE: Final[dict[Any, Any]] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "path.simplify": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "backtest",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": GRID,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 9,
    "ytick.color": GRID,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 9,
    "ytick.major.size": 0,
}
_NUMBER: Final = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_NAMESPACE: Final = re.compile(r"\{.*\}")
_XLINK: Final = "{http://www.w3.org/1999/xlink}href"


@contextmanager
def drawing() -> Iterator[None]:
    """Our style while a figure is made and written, whatever a matplotlibrc says."""
    with mpl.rc_context(), warnings.catch_warnings():
        # It only says that its own font lacks a letter; the reader's is the one that counts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def figure_of(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure without a ground."""
    figure = Figure(figsize=(width_in, height_in))
    figure.patch.set_visible(False)
    return figure


def panel(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Axes at (left, bottom, width, height), in shares of the figure."""
    axes = figure.add_axes(box)
    axes.patch.set_visible(False)
    return axes


def plain(text: str) -> str:
    """Text of the data, on one line, with no letter that an XML file may not have."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def page_svg(figure: Figure, name: str, label: str) -> str:
    """For a page; `name` (unique there, a word) keeps its ids apart, `label` is read aloud."""
    root = _drawn(figure, name, label)
    root.set("class", "picture")
    for element in root.iter():
        style = element.get("style")
        if style:
            for role, variable in VARIABLES.items():
                style = style.replace(role, f"var({variable})")
            element.set("style", style)
    return ElementTree.tostring(root, encoding="unicode")


def file_svg(figure: Figure, label: str) -> str:
    """For a file of its own, which says itself that it is SVG."""
    root = _drawn(figure, "s", label)
    for side in ("width", "height"):
        root.set(side, f"{float(root.attrib[side]) * _FILE_SCALE:.0f}")
    ground = ElementTree.Element("rect", {"width": "100%", "height": "100%", "fill": GROUNDS[0]})
    root.insert(1, ground)
    text = ElementTree.tostring(root, encoding="unicode")
    for role, colour in LIGHT.items():
        text = text.replace(role, colour)
    return text.replace(
        "<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" font-family="{_FONT}" ', 1
    )


def _drawn(figure: Figure, name: str, label: str) -> ElementTree.Element:
    written = io.StringIO()
    # Without the four there is no metadata, so no date, version or address.
    nothing = dict.fromkeys(("Date", "Creator", "Type", "Format"))
    figure.savefig(written, format="svg", metadata=nothing)
    root = ElementTree.fromstring(written.getvalue())  # noqa: S314 - matplotlib's, not a stranger's
    _, _, width, height = root.attrib["viewBox"].split()
    kept = {"viewBox": root.attrib["viewBox"], "width": width, "height": height}
    root.attrib.clear()
    root.attrib.update({**kept, "role": "img", "aria-label": plain(label)})
    # Its style would hold for the whole page.
    root.attrib["style"] = "stroke-linejoin: round"
    root.remove(root[0])
    for element in root.iter():
        _simplify(element, name)
    title = ElementTree.Element("title")
    title.text = plain(label)
    root.insert(0, title)
    return root


def _simplify(element: ElementTree.Element, name: str) -> None:
    element.tag = tag = _NAMESPACE.sub("", element.tag)
    element.tail = None
    if tag != "text":
        element.text = None
    attributes = element.attrib
    attributes.pop("type", None)
    if tag in ("path", "clipPath") and "id" in attributes:
        attributes["id"] = f"{name}-{attributes['id']}"
    else:
        attributes.pop("id", None)
    if _XLINK in attributes:
        attributes["href"] = f"#{name}-{attributes.pop(_XLINK).removeprefix('#')}"
    if "clip-path" in attributes:
        attributes["clip-path"] = attributes["clip-path"].replace("(#", f"(#{name}-")
    if "style" in attributes:
        style = attributes["style"].replace("font-family: 'DejaVu Sans'; ", "")
        attributes["style"] = style.replace("; font-family: 'DejaVu Sans'", "")
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    for key in ("d", "x", "y", "transform", "width", "height"):
        if key in attributes:
            text = " ".join(attributes[key].split())
            attributes[key] = _NUMBER.sub(_rounded, text)


def _rounded(number: re.Match[str]) -> str:
    """A hundredth of a point is finer than anybody sees, and than processors differ."""
    text = f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def usd(amount_e6: float, *, cents: bool = True) -> str:
    """With its sign."""
    return signed(amount_e6 / 1_000_000, 2 if cents else 0)


def signed(value: float, digits: int) -> str:
    """`+1,234.50`; zero, and what is rounded to it, has no sign."""
    rounded = round(value, digits) or 0.0
    return f"{rounded:{'+' if rounded else ''},.{digits}f}".replace("-", "\u2212")
