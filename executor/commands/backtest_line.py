"""`executor backtest`: its options and exit codes. What it does is imported when it is asked for:
no other command shall wait for it, and it needs packages that images do not have."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import typer

from executor.answers import EXIT_FAILED, pairs_in, refuse
from runtime.output import complain

_EXTRA: Final = (
    "executor backtest needs the extra `backtest`: pip install 'streaming-executor[backtest]'"
)
_RECORDINGS: Final = "Recordings"
_ORDERS: Final = "How orders are made"
_SWEEP: Final = "Many parameters at once"
_OUT: Final = "Also to files"


def backtest(  # noqa: PLR0913 - typer takes each option as an argument
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Directories of `executor record` or their files, or directories with "
            "books.parquet and markets.parquet (or .csv); else the markets that come with the "
            "project.",
            show_default=False,
        ),
    ] = None,
    *,
    series: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Only these, e.g. btc-15m,eth-15m.", rich_help_panel=_RECORDINGS
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OURS=THEIRS",
            help="How a column of the Parquet or CSV files is called there; may be repeated.",
            rich_help_panel=_RECORDINGS,
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="A strategy's name, or ./file.py:Class; else the only one of STRATEGIES, "
            "else book_imbalance_crypto.",
            rich_help_panel=_ORDERS,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of the account or a parameter of the strategy; may be repeated. "
            "What is not set is as by default.",
            rich_help_panel=_ORDERS,
        ),
    ] = None,
    latency: Annotated[
        str,
        typer.Option(
            metavar="MS|FILE",
            help="From the decision to the venue: milliseconds, or a file that measured it "
            "(benchmarks/out/latest.json, or what `executor decisions --json` said).",
            rich_help_panel=_ORDERS,
        ),
    ] = "250",
    poll: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=600,
            metavar="S",
            help="Compare with a scanner that looks every so many seconds; else 30.",
            rich_help_panel=_ORDERS,
        ),
    ] = None,
    execution: Annotated[
        str | None,
        typer.Option(
            metavar="A:B",
            help="How many seconds after its scan the scanner's order comes; else 30:120.",
            rich_help_panel=_ORDERS,
        ),
    ] = None,
    no_poll: Annotated[
        bool,
        typer.Option("--no-poll", help="Compare with no scanner.", rich_help_panel=_ORDERS),
    ] = False,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=A..B[:STEP]",
            help="Try a parameter's values from A to B; may be repeated. Without a step: ten.",
            rich_help_panel=_SWEEP,
        ),
    ] = None,
    train: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Points are chosen by the first part of the time, this share of it, and tested by "
            "the rest. Else 0.5.",
            rich_help_panel=_SWEEP,
        ),
    ] = None,
    random: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="So many points drawn from the ranges instead of every combination.",
            rich_help_panel=_SWEEP,
        ),
    ] = None,
    procs: Annotated[
        int | None,
        typer.Option(
            min=1, max=1_024, metavar="N", help="Processes; else one.", rich_help_panel=_SWEEP
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="F", help="All of it with pictures.", rich_help_panel=_OUT),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            metavar="F", help="All figures; `-` for stdout, and no text then.", rich_help_panel=_OUT
        ),
    ] = None,
    trades: Annotated[
        Path | None,
        typer.Option(metavar="F", help="Every order in both brackets, CSV.", rich_help_panel=_OUT),
    ] = None,
) -> None:
    """What a strategy is worth on recorded books, by the code that trades.

    Needs no account. Between two recorded books nobody knows the book, so all
    is given twice: as if it had not changed, and as if the next one stood there
    already.
    """
    if find_spec("numpy") is None:
        refuse(_EXTRA)
    # Here, because it takes half a second; `halt` shall not wait.
    from executor.commands.backtest import BadInputError, FailedError, run  # noqa: PLC0415
    from executor.commands.backtest_options import Asked  # noqa: PLC0415

    asked = Asked(
        paths=tuple(paths or ()),
        series=series,
        columns=pairs_in(columns or (), "ts=time_ms"),
        strategy=strategy,
        changes=pairs_in(set_ or ()),
        latency=latency,
        poll_s=poll,
        execution=execution,
        no_poll=no_poll,
        sweep=tuple(sweep or ()),
        train=train,
        random=random,
        procs=procs,
        html=html,
        json=json,
        trades=trades,
    )
    try:
        run(asked)
    except BadInputError as error:
        refuse(str(error))
    except FailedError as error:
        complain(f"failed: {error}")
        raise typer.Exit(EXIT_FAILED) from None
