"""`executor paper` and `executor live`: options, what is said, exit codes. What they do is imported
when it is asked for: `halt` shall not wait."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from executor.answers import refuse
from executor.local_defaults import data_folder

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Where accounts, logs and the recording are kept; else EXECUTOR_DATA, else "
        "executor-data here.",
    ),
]
Venue = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Another venue for everything, e.g. a simulated one."),
]
ConsolePort = Annotated[
    int, typer.Option(min=0, max=65_535, metavar="N", help="Of the page at 127.0.0.1; 0: any.")
]
RecordGb = Annotated[
    float,
    typer.Option(
        min=0,
        max=1_000_000,
        metavar="N",
        help="How large the recording of books and decisions may become: the oldest files are "
        "deleted. 0: no recording.",
    ),
]


def paper(
    data: Data = None,
    venue: Venue = None,
    console_port: ConsolePort = 8765,
    record_gb: RecordGb = 20.0,
) -> None:
    """Trade on paper: start everything on this machine, show it in a browser, and keep it running
    until Ctrl-C. STRATEGIES, SERIES and limits are variables.

    What it knows is kept in the data folder, and the next start goes on with it. A process that
    dies is started again. A second start in the same folder is refused. Exit code 1: it could not
    start, or not go on; 2: a variable or an option is wrong.
    """
    _run("paper", data, venue, console_port, record_gb)


def live(
    data: Data = None,
    venue: Venue = None,
    console_port: ConsolePort = 8765,
    record_gb: RecordGb = 20.0,
) -> None:
    """The same with real money: PRIVATE_KEY and WALLET are needed, doctor must find nothing wrong,
    and the wallet's address is asked for."""
    _run("live", data, venue, console_port, record_gb)


def _run(
    execution: Literal["paper", "live"],
    data: Path | None,
    venue: str | None,
    console_port: int,
    record_gb: float,
) -> None:
    from executor.commands.paper import RefusedError, Wanted  # noqa: PLC0415 - see above
    from executor.commands.paper_run import run  # noqa: PLC0415 - see above

    wanted = Wanted(
        execution=execution,
        data=data_folder() if data is None else data,
        venue=venue,
        console_port=console_port,
        record_gb=record_gb,
    )
    try:
        code = run(wanted)
    except RefusedError as error:
        refuse(f"cannot start: {error}")
    raise typer.Exit(code)
