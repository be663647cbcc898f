"""Commands run for a person: logging, streams, and what becomes of an error nobody expected."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys

import structlog
import typer

from executor.answers import EXIT_FAILED, unwritten
from runtime.log import configure_logging
from runtime.output import complain
from runtime.proxies import ignore_proxies

_log = structlog.get_logger()


def run(app: typer.Typer) -> None:
    """Run the command that the arguments name. Raises SystemExit."""
    # A library that warns of what then fails: the command says so itself, in one line.
    configure_logging(service="executor", libraries_from=logging.ERROR)
    ignore_proxies()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character of a reason gets its number, not a traceback.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="executor")
    except SystemExit as end:
        # A reader that has gone (`| head -1`) has read what it wanted.
        failed = [e for e in unwritten if e and e.errno != errno.EPIPE]
        if not failed:
            raise
        complain(f"cannot write the answer: {failed[0].strerror}")
        raise SystemExit(end.code or EXIT_FAILED) from None
    except OSError as error:  # `AnsweringCommand` has those of the commands: this is `--help`
        complain(f"cannot write the answer: {error.strerror or error}")
        os._exit(EXIT_FAILED)  # the rest of the answer is still in Python's buffer
    except Exception as error:  # noqa: BLE001 - typer takes `sys.excepthook` for itself
        _log.critical("defect", exc_info=error)
        raise SystemExit(EXIT_FAILED) from None
