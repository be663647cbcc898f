"""What the parts of `make bench` measured, as tables for a terminal.

In each cell stands the median of the repeats and, in brackets, their quartiles. A ratio is taken
within each repeat, and then has median and quartiles of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.table import Table

from benchmarks.capacity import RateStep
from benchmarks.pipeline import LOADS, WHOLE, Run, is_whole
from benchmarks.process_times import ProcessTimes
from benchmarks.stats import Quartiles, quartiles, ratios
from benchmarks.system import PUBLISHED_BIDS

_NONE = "-"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """The first column is words, the others are numbers."""
    made = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        made.add_column(column, justify="right" if number else "left")
    for row in rows:
        made.add_row(*row)
    return made


def flat_table(title: str, figures: Mapping[str, float]) -> Table:
    """One figure a row."""
    return table(title, ("figure", "value"), [(k, f"{v:.3f}") for k, v in figures.items()])


def figures_table(title: str, found: Mapping[str, Sequence[Mapping[str, float]]]) -> Table:
    """The same figures of one tree, or of two and their ratio."""
    [now, *then] = found.values()
    columns = ["", *found, *([f"{' / '.join(found)}"] if then else [])]
    rows = []
    for name in now[0]:
        if name.endswith("_best_us"):  # in the file, for whoever looks for noise
            continue
        of_trees = [[each[name] for each in of_tree if name in each] for of_tree in found.values()]
        cells = [name, *(_text(quartiles(each)) if each else _NONE for each in of_trees)]
        if then:
            comparable = len(of_trees[0]) == len(of_trees[1])
            cells.append(_text(ratios(*of_trees[:2]) if comparable else None))
        rows.append(cells)
    return table(title, columns, rows)


def stages_table(name: str, runs: Sequence[Run]) -> Table:
    """p50 and p99 of each stage, idle and loaded."""
    stages = dict.fromkeys(stage for run in runs for load in LOADS for stage in run[load].stages_ms)
    rows = [
        (stage, *(_text(percentile_of(runs, load, stage, share)) for load, share in _COLUMNS))
        for stage in stages
    ]
    orders = ", ".join(
        f"{load} {sum(len(run[load].stages_ms.get(WHOLE, ())) for run in runs)}"
        f" of {sum(run[load].signals for run in runs)}"
        for load in LOADS
    )
    title = f"{name}, ms (orders of signals: {orders}; {PUBLISHED_BIDS} bids a book)"
    if missing := sum(not is_whole(run) for run in runs):
        title += f"\n{missing} of {len(runs)} REPEATS WITH SIGNALS THAT GOT NO ORDER: do not quote"
    return table(title, ("stage", *(f"{load} {share}" for load, share in _COLUMNS)), rows)


_COLUMNS = [(load, share) for load in LOADS for share in ("p50", "p99")]


def percentile_of(runs: Sequence[Run], load: str, stage: str, share: str) -> Quartiles | None:
    """Of the repeats that have samples of a stage."""
    of_repeats = [
        run[load].percentile(stage, share) for run in runs if run[load].stages_ms.get(stage)
    ]
    return quartiles(of_repeats) if of_repeats else None


def processes_table(name: str, runs: Sequence[Run]) -> Table:
    """What each kind of process has had of the processors, and has waited for one."""
    rows = []
    for kind in runs[0]["loaded"].processes:
        cells = [kind]
        for load in LOADS:
            times = [(run[load].processes[kind], run[load]) for run in runs]
            cells += [
                _text(quartiles([100 * each.cpu_s / run.seconds for each, run in times]), 1),
                _text(quartiles([1e6 * each.cpu_s / run.frames for each, run in times]), 0),
                _text(quartiles([1e6 * each.waited_s / run.frames for each, run in times]), 0),
            ]
        rows.append(cells)
    columns = ("processes", *(f"{load} {what}" for load in LOADS for what in _OF_PROCESSES))
    return table(f"{name}: CPU of a core, CPU and waiting for one a market frame", columns, rows)


_OF_PROCESSES = ("CPU %", "CPU µs", "waited µs")


def ratios_table(title: str, runs: Sequence[Run], others: Mapping[str, Sequence[Run]]) -> Table:
    """How many times as long the others take, from frame to order."""
    rows = []
    for name, other in others.items():
        cells = [name]
        for load, share in _COLUMNS:
            pairs = [
                (its[load].percentile(WHOLE, share), our[load].percentile(WHOLE, share))
                for our, its in zip(runs, other, strict=True)
                if our[load].stages_ms.get(WHOLE) and its[load].stages_ms.get(WHOLE)
            ]
            cells.append(_text(ratios([a for a, _ in pairs], [b for _, b in pairs])))
        rows.append(cells)
    return table(title, ("frame to order", *(f"{a} {b}" for a, b in _COLUMNS)), rows)


def compared_table(ref: str, now: Sequence[Run], then: Sequence[Run]) -> Table:
    """Today over the other commit, stage by stage and process by process: below 1 is less."""
    stages = dict.fromkeys(stage for run in now for stage in run["idle"].stages_ms)
    rows = []
    for stage in stages:
        cells = [stage]
        for load, share in _COLUMNS:
            pairs = [
                (new[load].percentile(stage, share), old[load].percentile(stage, share))
                for new, old in zip(now, then, strict=True)
                if new[load].stages_ms.get(stage) and old[load].stages_ms.get(stage)
            ]
            cells.append(_text(ratios([a for a, _ in pairs], [b for _, b in pairs])))
        rows.append(cells)
    for kind in now[0]["loaded"].processes:
        cells = [f"CPU of {kind}"]
        for load in LOADS:
            spent = _cpu(now, load, kind), _cpu(then, load, kind)
            cells += [_text(ratios(*spent)), ""]
        rows.append(cells)
    return table(
        f"today / {ref}: below 1 is faster", ("ratio", *(f"{a} {b}" for a, b in _COLUMNS)), rows
    )


def _cpu(runs: Sequence[Run], load: str, kind: str) -> list[float]:
    nothing = ProcessTimes(0.0, 0.0)
    return [run[load].processes.get(kind, nothing).cpu_s for run in runs]


def capacity_table(name: str, repeats: Sequence[Sequence[RateStep]]) -> Table:
    """One row a rate; medians and quartiles of the repeats."""
    rows = [
        [
            *(_text(_of_steps(steps, field), digits) for field, _, digits in _CAPACITY),
        ]
        for steps in zip(*repeats, strict=True)
    ]
    handled = _up_to(repeats, lambda step: step.handles_all)
    published = _up_to(repeats, lambda step: step.publishes_each)
    title = (
        f"one feeder under rising load, {name}; {PUBLISHED_BIDS} bids a book\n"
        f"all frames handled up to {handled}, each change published up to {published}"
    )
    return table(title, [column for _, column, _ in _CAPACITY], rows)


def _up_to(repeats: Sequence[Sequence[RateStep]], copes: Callable[[RateStep], bool]) -> str:
    """The last rate before the first with which most of the repeats did not."""
    rate = "no rate"
    for steps in zip(*repeats, strict=True):
        if sum(map(copes, steps)) * 2 <= len(steps):
            break
        rate = f"{quartiles([step.frames_per_s for step in steps]).median:,.0f}/s"
    return rate


def _of_steps(steps: Sequence[RateStep], field: str) -> Quartiles | None:
    known = [value for step in steps if (value := getattr(step, field)) is not None]
    return quartiles(known) if known else None


_CAPACITY = (
    ("frames_per_s", "frames/s", 0),
    ("handled_per_s", "handled/s", 0),
    ("books_per_s", "books/s", 0),
    ("age_p50_ms", "age p50 ms", 1),
    ("age_p99_ms", "age p99 ms", 1),
    ("feeder_cores", "cores", 2),
    ("feeder_us_a_line_frame", "CPU µs a line's frame", 0),
    ("waited_us_a_line_frame", "waited µs", 0),
    ("leases_lost", "leases lost", 0),
    ("connections_lost", "lines lost", 0),
    ("books_doubted", "books doubted", 0),
)


def _text(figures: Quartiles | None, digits: int = 2) -> str:
    return _NONE if figures is None else figures.text(digits)
