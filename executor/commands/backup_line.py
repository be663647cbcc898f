"""`executor backup FILE`: a copy of the state, made while the system runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from executor.answers import EXIT_FAILED, Json, answer_json, refuse, say
from executor.progress import progress_bar
from executor.rendering import plain
from functions.ports import StoreError, StoreMisconfiguredError
from functions.settings import AccountSettings
from runtime.output import complain
from runtime.settings import load_settings

if TYPE_CHECKING:
    from functions.adapters.sqlite.look import Contents

ON_DYNAMODB: Final = (
    "STATE=dynamodb keeps its own copies: point-in-time recovery, see docs/how-to/run-the-cloud.md,"
    ' "Restoring the table"'
)


def backup(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to; it must not be there yet.")
    ],
    json: Json = False,
) -> None:
    """Copy the store of this machine to a new file, while everything runs.

    Of one moment, checked, and whole under its name or not there. Without the log of decisions.
    """
    source = load_settings(AccountSettings).state_file
    if source is None:
        refuse(ON_DYNAMODB)
    if not file.parent.is_dir():
        refuse(f"FILE: there is no folder {file.parent}")
    contents = _copied(source, file)
    if json:
        answer_json(contents)
    else:
        say(plain(f"{source} is copied to {file}, and the copy is whole"))
        say(plain(_told(contents)))


def _copied(source: Path, file: Path) -> Contents:
    from functions.adapters.sqlite.backup import back_up  # noqa: PLC0415 - only this command's

    try:
        with progress_bar() as tell:
            return back_up(source, file, lambda share: tell(share, f"copying {source.name}"))
    except FileExistsError:
        refuse(f"FILE: {file} is there already, and is not overwritten")
    except StoreMisconfiguredError as error:
        refuse(str(error))
    except (StoreError, OSError) as error:
        what = error if isinstance(error, StoreError) else f"{file}: {error.strerror or error}"
        complain(f"failed: {what}")
        raise typer.Exit(EXIT_FAILED) from None


def _told(contents: Contents) -> str:
    accounts = ", ".join(contents.accounts) or "none"
    return (
        f"it holds {contents.size_bytes / 1000:.0f} kB: {len(contents.accounts)} accounts"
        f" ({accounts}), {contents.ledger_rows} claims that ended, {contents.configurations}"
        f" configurations, {contents.groups} groups"
    )
