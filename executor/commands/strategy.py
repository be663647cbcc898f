"""`executor strategy new` and `executor strategy check`: a strategy of one's own, and its proof.

Raises NotWrittenError; `executor.command_line` makes one line of it.
"""

from __future__ import annotations

import keyword
import shlex
import sys
from pathlib import Path
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from executor.rendering import BAD, GOOD, facts_table, plain
from executor.strategy_check.report import StrategyReport, StrategyTrials
from functions.core.strategy_rules import PLAIN, PLAIN_WORDS
from strategies.builtin import BUILTIN

_TEMPLATE: Final = Path(__file__).parents[1] / "strategy_template"
_ROOMS: Final = frozenset(
    {"executor", "feeder", "functions", "protocol", "recordings", "runtime", "strategies", "venue"}
)


class NotWrittenError(ValueError):
    """A file that was not written; the text says why, and what it is about."""


def new(name: str, file: Path | None) -> tuple[Path, Path]:
    """Write a strategy and its test; never over anything. Raises NotWrittenError."""
    _check_name(name)
    path = file if file is not None else Path(f"{name}.py")
    if path.suffix != ".py" or not path.stem.isidentifier() or keyword.iskeyword(path.stem):
        raise NotWrittenError(f"--file: {path}: not the name of a module, such as {name}.py")
    _check_module(path.stem)
    test = path.with_name(f"test_{path.stem}.py")
    class_name = "".join(part.capitalize() for part in name.split("_"))
    written: list[Path] = []
    try:
        for source, target in (("my_strategy.py", path), ("my_strategy_test.py", test)):
            text = (_TEMPLATE / source).read_text(encoding="utf-8")
            text = text.replace("executor.strategy_template.my_strategy", path.stem)
            text = text.replace("MyStrategy", class_name)
            text = text.replace("test_my_strategy.py", test.name)
            text = text.replace("my_strategy.py", path.name).replace("my_strategy", name)
            with target.open("x", encoding="utf-8") as out:
                written.append(target)
                out.write(text)
    except OSError as error:
        for each in written:  # nothing was there before: half of it helps nobody
            each.unlink(missing_ok=True)
        why = "exists already" if isinstance(error, FileExistsError) else error.strerror
        raise NotWrittenError(f"{error.filename}: {why}; nothing was written") from None
    return path, test


def _check_name(name: str) -> None:
    if PLAIN.fullmatch(name) is None or keyword.iskeyword(name) or not name.strip("_"):
        raise NotWrittenError(f"NAME: {name!r} is not {PLAIN_WORDS}, and no word of Python's")
    if name in BUILTIN:
        raise NotWrittenError(f"NAME: {name} is a built-in strategy; choose another")


def _check_module(stem: str) -> None:
    if stem in _ROOMS or stem in sys.stdlib_module_names or stem.startswith("test_"):
        raise NotWrittenError(
            f"{stem}.py would stand in the way of another module of that name; choose another"
        )


def written_view(path: Path, test: Path) -> RenderableType:
    """`executor strategy new`."""
    shown = str(path) if path.is_absolute() else f"./{path}"
    return Group(
        plain(f"written: {path} and {test}", GOOD),
        plain(f"test it:   python -m pytest {test}"),
        plain(f"prove it:  executor strategy check {shown}"),
        plain(f"its worth: {_backtest_line(shown)}"),
        plain(f"run it:    {_sandbox_line(shown)}"),
    )


def _sandbox_line(strategy: str) -> str:
    """What lets it trade on this machine, to be pasted."""
    return f"make run {shlex.quote(f'STRATEGIES={strategy}@paper')}"


def _backtest_line(strategy: str) -> str:
    """What says whether it earns anything, to be pasted."""
    return f"executor backtest --strategy {shlex.quote(strategy)}"


def report_view(report: StrategyReport) -> RenderableType:
    """`executor strategy check`."""
    width = max((len(check.what) for check in report.checks), default=0)
    lines = [
        Text.assemble(
            plain("ok    ", GOOD) if check.ok else plain("FAILED", BAD),
            "  ",
            plain(f"{check.what:<{width}}  {check.text}"),
        )
        for check in report.checks
    ]
    parts: list[RenderableType] = [Text("\n").join(lines)]
    if report.trials is not None:
        parts += ["", *_trials(report.trials)]
    verdict = f"it may run: {_sandbox_line(report.file)}"
    verdict = verdict if report.ok else "it may not run: mend what FAILED"
    parts += ["", plain(f"{report.strategy or report.file}: {verdict}", GOOD if report.ok else BAD)]
    if report.ok:
        parts.append(plain(f"what it is worth: {_backtest_line(report.file)}"))
    return Group(*parts)


def _trials(trials: StrategyTrials) -> list[RenderableType]:
    rows = facts_table()
    rows.add_row(
        "recordings",
        plain(
            f"{trials.markets} markets, {trials.books:,} books that the gate lets through; "
            "no cooldown and no limit of an account is looked at"
        ),
    )
    rows.add_row(
        "signals",
        plain(
            f"{trials.signals:,}, {trials.signals_per_market_median:g} a market (median); "
            f"{trials.bought:,} that the book could fill"
        ),
    )
    for number, (reason, count) in enumerate(trials.holds.items()):
        rows.add_row("held" if number == 0 else "", plain(f"{count:,} {reason}"))
    return [rows]
