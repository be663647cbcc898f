from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import msgspec
import pytest
from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from backtest.pictures.page import html_of
from backtest.pictures.words import sections_of
from backtest.report.build import report_of
from backtest.report.report import BacktestReport
from executor.backtest_rendering import report_view
from tests.support.backtest_builders import a_large_run
from tests.support.sweep_builders import a_sweep

HOSTILE = '"><script>alert(1)</script><img src=http://there.example/>&$x^2$\x00\u202e'
VOID = {"meta", "br"}


class _Balanced(HTMLParser):
    """Every element is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(page: str) -> str:
    """Well-formed, alone, and without a script."""
    parser = _Balanced()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    assert not parser.seen & {"script", "link", "img", "iframe", "object", "font", "base"}
    assert "http" not in page
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []
    assert re.findall(r'(?:src|href|srcset|action)="(?!#)', page) == []
    assert re.findall(r'\bon\w+="', page) == []
    return page


def test_the_page_has_the_reports_words_in_their_order_and_all_pictures(
    report: BacktestReport,
) -> None:
    page = checked(html_of(report, report_view(report, a_sweep()), a_sweep()))
    headings = re.findall(r"<h2>([A-Z]+)", page)
    assert headings[:4] == ["VERDICT", "WORTH", "TRUST", "FUNNEL"]
    assert "\ufffd" not in page
    assert page.count("<svg") == page.count("<figcaption>") == 6
    assert page.count("Source: made by hand") == 6
    assert report.verdict.sentence in page.replace("&#x27;", "'")
    ids = re.findall(r' id="(.*?)"', page)
    assert len(ids) == len(set(ids))
    assert len(page) < 700_000


def test_nothing_seen_still_makes_a_page(empty: BacktestReport) -> None:
    page = checked(html_of(empty, report_view(empty), None))
    assert page.count("<svg") == 4
    for words in ("no signal to look at", "nothing to look at", "nothing was bought"):
        assert words in page


def test_what_comes_from_the_data_is_escaped(report: BacktestReport) -> None:
    first, second, *others = report.markets
    hostile = msgspec.structs.replace(
        report,
        feed=HOSTILE,
        strategy=HOSTILE,
        markets=[
            msgspec.structs.replace(first, slug=HOSTILE, series=HOSTILE),
            msgspec.structs.replace(second, series="<b>"),
            *others,
        ],
        warnings=[HOSTILE],
    )
    page = html_of(hostile, report_view(hostile), None)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x00" not in page
    assert "\u202e" not in page
    checked(page.replace("http://there.example", ""))


def test_a_view_that_a_page_cannot_show_is_refused() -> None:
    with pytest.raises(TypeError, match="Panel"):
        sections_of(Group(Group("", Text("WORTH"), Panel("x"))))


_ONCE = """
import sys
from rich.console import Group
from backtest.pictures.page import html_of
from backtest.report.build import report_of
from tests.support.backtest_builders import a_large_run
from tests.support.backtest_builders import a_large_run
from tests.support.sweep_builders import a_sweep
report = report_of(a_large_run(signals=200, markets=4, phases=1))
sys.stdout.buffer.write(html_of(report, Group(), a_sweep()).encode())
"""


def test_the_same_report_is_the_same_bytes_in_any_process() -> None:
    other = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", _ONCE],
        env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    report = report_of(a_large_run(signals=200, markets=4, phases=1))
    assert other.stdout.decode() == html_of(report, Group(), a_sweep())
