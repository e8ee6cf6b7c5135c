"""What the demo prints: a progress bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console, RenderableType

    from pgqueue.types import Counts

QUARTERS: Final = 4


class Show:
    """Prints on a console."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = console.is_terminal and not console.is_dumb_terminal

    def line(self, text: str, style: str = "") -> None:
        """Print a line."""
        clean = "".join(c if c.isprintable() else "?" for c in text)
        self.console.print(Text(clean, style), soft_wrap=True)

    def table(self, shown: RenderableType) -> None:
        """Print a table with an empty line before it."""
        self.console.print()
        if self.console.is_terminal:
            self.console.print(shown)
            return
        with self.console.capture() as captured:
            self.console.print(shown)
        for line in captured.get().splitlines():
            self.line(line.rstrip())

    @contextmanager
    def progress(self, total: int) -> Iterator[Callable[[Counts], None]]:
        """Yield what is to be called with the queue's counts, now and then."""
        if not self.live:
            yield self._quarters(total)
            return
        bar = Progress(
            BarColumn(bar_width=30, complete_style="cyan", finished_style="cyan"),
            TextColumn("{task.completed:,} of {task.total:,}"),
            TextColumn("[dim]{task.fields[standing]}"),
            console=self.console,
            transient=True,
        )
        with bar:
            task = bar.add_task("", total=total, standing="")
            yield lambda counts: bar.update(
                task,
                completed=counts.completed + counts.failed,
                standing=standing(counts),
            )

    def _quarters(self, total: int) -> Callable[[Counts], None]:
        told = 0

        def tell(counts: Counts) -> None:
            nonlocal told
            done = counts.completed + counts.failed
            quarter = done * QUARTERS // total
            if quarter > told:
                told = quarter
                self.line(f"{done:>7,} of {total:,} done, {standing(counts)}")

        return tell


def standing(counts: Counts) -> str:
    """Return where the unfinished jobs stand, and how many failed."""
    return (
        f"{counts.waiting + counts.prioritized:,} waiting, {counts.delayed} delayed, "
        f"{counts.active} active, {counts.failed} failed"
    )
