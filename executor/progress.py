"""How far a long run has come: on a terminal only, on stderr, and only once it takes a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

SHOWN_AFTER_S: Final = 1.0
_REFRESHED_EVERY_S: Final = 0.1
Tell: TypeAlias = Callable[[float | None, str], None]
"""Called now and then with how much is done, from 0 to 1 (None: not known), and with what that is.
"""


class _StaysUsable(Console):
    """A signal ends a command at once (`executor.__main__`): nobody would show the cursor again."""

    def show_cursor(self, show: bool = True) -> bool:
        """Never hidden."""
        return show


@contextmanager
def progress_bar() -> Iterator[Tell]:
    """Gives what is to be told."""
    console = _StaysUsable(stderr=True)
    if not console.is_terminal:
        yield lambda _, __: None
        return
    bar = Progress(
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    begun_s = drawn_s = time.monotonic()
    task = bar.add_task("", total=None)

    def tell(share: float | None, text: str) -> None:
        nonlocal drawn_s
        now_s = time.monotonic()
        if now_s - begun_s < SHOWN_AFTER_S or now_s - drawn_s < _REFRESHED_EVERY_S:
            return
        drawn_s = now_s
        total = None if share is None else 1.0
        bar.update(task, total=total, completed=share or 0.0, description=text)
        bar.start()
        bar.refresh()

    try:
        yield tell
    finally:
        bar.stop()


@asynccontextmanager
async def awaited_progress() -> AsyncIterator[Tell]:
    """The same for what waits for answers: while nothing is told, the time that it takes is."""
    with progress_bar() as draw:
        told: tuple[float | None, str] = None, ""

        def tell(share: float | None, text: str) -> None:
            nonlocal told
            told = share, text
            draw(share, text)

        async def again() -> None:
            while True:
                await asyncio.sleep(_REFRESHED_EVERY_S)
                draw(*told)

        drawing = asyncio.create_task(again())
        try:
            yield tell
        finally:
            drawing.cancel()
