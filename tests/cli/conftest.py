"""The command, called in this process on the test's database."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest

from cli.calling import Result
from pgqueue.cli import main
from pgqueue.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Cli(Protocol):
        def __call__(self, *arguments: str, stdin: str = "") -> Result: ...


@pytest.fixture
def cli(
    dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """Call a command, not on a terminal."""
    monkeypatch.setenv("PGQUEUE_DSN", dsn)

    def call(*arguments: str, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = main(list(arguments))
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def queue(dsn: str) -> Iterator[Queue]:
    """The queue `paint`, to look at what a command did."""
    with Queue("paint", dsn=dsn) as made:
        yield made
