"""Colours that everybody can read: WCAG 2.2 AA, in dark and light."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import executor.console

STYLE = (Path(executor.console.__file__).parent / "static" / "style.css").read_text()
DARK, LIGHT, *_ = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
TEXTS = ("text", "dim", "good", "bad", "care", "accent")
BACKS = ("back", "panel", "raised")


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): #([0-9a-f]{6});", block))


def brightness(colour: str) -> float:
    """Relative luminance, as WCAG 2.2 has it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, two: str) -> float:
    high, low = sorted((brightness(one), brightness(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("block", [DARK, LIGHT], ids=["dark", "light"])
def test_text_stands_out(block: str) -> None:
    found = colours(block)
    pairs = [(text, back) for text in TEXTS for back in BACKS]
    pairs += [("text", fill) for fill in ("good-fill", "bad-fill", "care-fill", "button")]
    pairs += [("halt-text", "halt")]
    poor = {pair: contrast(found[pair[0]], found[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in poor.items() if ratio < 4.5} == {}


def test_pages_have_no_style_or_script_in_them() -> None:
    for path in (Path(executor.console.__file__).parent / "templates").iterdir():
        text = path.read_text()
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|javascript:|https?://", text), path.name
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text)), path.name
        # What `Pages.part` has made is escaped already; nothing else is taken for HTML.
        taken = re.findall(r"\S*\|\s*safe", text)
        assert all(re.fullmatch(r'parts\["[a-z-]+"\]\|safe', each) for each in taken), path.name
