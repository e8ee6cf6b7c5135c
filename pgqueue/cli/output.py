"""What commands print: tables for people, JSON for programs, nothing that acts."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

WIDE: Final = 10_000
UNSAFE: Final = re.compile(r"[\x7f-\x9f]")


class Output(Console):
    """A console that takes text literally and leaves a closed pipe to its caller."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(
            stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True
        )
        # In a pipe nothing may be cut off or folded.
        if not self.is_terminal:
            self.width = WIDE

    def show(self, shown: Table) -> None:
        """Print a table; in a pipe without the spaces that fill its last column."""
        if self.is_terminal:
            self.print(shown)
            return
        with self.capture() as captured:
            self.print(shown)
        print("\n".join(line.rstrip() for line in captured.get().splitlines()))

    def on_broken_pipe(self) -> NoReturn:
        """Let `app.run` end the program quietly."""
        raise BrokenPipeError


def escape(text: str) -> str:
    r"""Return text in which nothing can command a terminal: ESC becomes `\x1b`."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def say(text: str) -> None:
    """Print a line for people."""
    print(escape(text))


def note(text: str) -> None:
    """Print a line beside the output, on stderr."""
    print(escape(text), file=sys.stderr)


def print_json(value: Any) -> None:
    """Print one JSON document, in ASCII."""
    text = json.dumps(value, indent=2, default=str)
    print(UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def compact(value: Any) -> str:
    """Return a JSON value on one line."""
    return escape(json.dumps(value, ensure_ascii=False, default=str))


def instant(when: datetime | None) -> str:
    """Return an instant in the local zone, to the second."""
    return f"{when.astimezone():%Y-%m-%d %H:%M:%S}" if when else ""


def jobs(count: int) -> str:
    """Return `1 job` or `n jobs`."""
    return f"{count} job" if count == 1 else f"{count} jobs"


def span(seconds: float) -> str:
    """Return a duration in words: `7 days`, `1 hour 30 minutes`, `0.5 seconds`."""
    parts = []
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count:.0f} {unit}{'' if count == 1 else 's'}")
    if seconds or not parts:
        parts.append(f"{seconds:g} second{'' if seconds == 1 else 's'}")
    return " ".join(parts)


def table(*columns: str, right: Sequence[str] = (), wide: Sequence[str] = ()) -> Table:
    """Return an empty table without lines.

    Args:
        right: the columns that hold numbers.
        wide: the columns that give way when the terminal is too narrow.
    """
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        side: Literal["left", "right"] = "right" if name in right else "left"
        made.add_column(name, justify=side, no_wrap=name not in wide, overflow="fold")
    return made


def one_line(text: str, style: str = "") -> Text:
    """Return text for a wide column, cut off where the column ends."""
    return Text(escape(text), style, no_wrap=True, overflow="ellipsis")


def number(value: int, style: str = "") -> Text:
    """Return a number for a table; zeros stand back."""
    return Text(str(value), style if value else "dim")


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is removed.

    Raises:
        click.UsageError: nobody is there to answer, and --yes is not given.
        click.Abort: the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("this removes jobs; pass --yes to do it unattended")
    click.confirm(escape(question), abort=True, err=True)
