"""How far a long run has come: on a terminal only, on stderr, and only once it takes a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

SHOWN_AFTER_S: Final = 1.0
_REFRESHED_EVERY_S: Final = 0.1


class _StaysUsable(Console):
    """A signal ends a command at once (`executor.__main__`): nobody would show the cursor again."""

    def show_cursor(self, show: bool = True) -> bool:
        """Never hidden."""
        return show


@contextmanager
def progress(
    what: str, total: float | None = None, share: Callable[[], float | None] = lambda: None
) -> Iterator[Callable[[int], None]]:
    """Gives what is called with the number of `what` that are done.

    `share`: how much of all of it that is, from 0 to 1, where `total` is not known beforehand.
    """
    console = _StaysUsable(stderr=True)
    bar = Progress(
        BarColumn(),
        TaskProgressColumn(),
        TextColumn(f"{{task.fields[done]}} {what}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    task = bar.add_task("", total=total, done="0")
    begun_s = drawn_s = time.monotonic()
    shown = False

    def done(number: int) -> None:
        nonlocal shown, drawn_s
        now_s = time.monotonic()
        if now_s - begun_s < SHOWN_AFTER_S or now_s - drawn_s < _REFRESHED_EVERY_S:
            return
        drawn_s = now_s
        if not shown:
            bar.start()
            shown = True
        read = share() if total is None else number / total
        bar.update(
            task, total=None if read is None else 1.0, completed=read or 0.0, done=f"{number:,}"
        )
        bar.refresh()

    try:
        yield done if console.is_terminal else lambda _: None
    finally:
        if shown:
            bar.stop()
