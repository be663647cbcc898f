"""`executor console`: the page in a browser, served until stopped; or a link to it."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING, Annotated

import structlog
import typer
from rich.text import Text

from executor.answers import refuse, say
from runtime.log import configure_logging
from runtime.settings import load_settings

if TYPE_CHECKING:
    from executor.console.settings import ConsoleSettings


def console(
    link: Annotated[
        bool,
        typer.Option("--link", help="Print a one-time link to the console that runs, and end."),
    ] = False,
) -> None:
    """Show the system in a browser, halt it and tune it; by default at http://127.0.0.1:8765."""
    try:
        import jinja2  # noqa: F401, PLC0415 - of the extra
    except ImportError:
        refuse("the console needs Jinja2: pip install 'streaming-executor[local]'")
    # Here, because they take a second, and need the extra.
    from executor.console.settings import ConsoleSettings, drop_keys  # noqa: PLC0415 - see above

    dropped = drop_keys()
    settings = load_settings(ConsoleSettings)
    if link:
        _say_link(_new_link(settings))
        return
    configure_logging(service="console")
    if dropped:
        structlog.get_logger().warning("console_keys_dropped", variables=dropped)
    from executor.console.service import serve  # noqa: PLC0415 - see above
    from runtime.process import run_service  # noqa: PLC0415 - see above

    raise typer.Exit(run_service(serve(settings, _key(settings), _say_first_link)))


def _key(settings: ConsoleSettings) -> bytes:
    """Where no system was started there is no folder to keep it in, and only the first link."""
    from executor.console.links import LinkKeyError, link_key  # noqa: PLC0415 - as above

    if not settings.executor_data.is_dir():
        return secrets.token_bytes(32)
    try:
        return link_key(settings.executor_data)
    except LinkKeyError as error:
        refuse(str(error))


def _new_link(settings: ConsoleSettings) -> str:
    from executor.console.links import LinkKeyError, one_time_link  # noqa: PLC0415 - as above
    from local.status import read_status  # noqa: PLC0415 - as above

    folder = settings.executor_data
    if not folder.is_dir():
        refuse(f"{folder}: no such folder: no system was started here (EXECUTOR_DATA)")
    status = read_status(folder)
    told = "" if status is None or status.stopped else status.console_url
    try:
        return one_time_link(folder, told or settings.console_url(settings.console_port))
    except LinkKeyError as error:
        refuse(str(error))


def _say_first_link(link: str) -> None:
    """To a person; what a supervisor starts has a log, in which no link may stand."""
    if sys.stdout.isatty():
        _say_link(link)


def _say_link(link: str) -> None:
    # As it is: of other URLs only the origin is shown.
    say(Text(link))
