"""`--reload`: run the same command in a child, and anew whenever the code changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from pgqueue.errors import ConfigError
from pgqueue.worker.supervisor import end_with

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import FrameType

OPTION: Final = "--reload"

PARENT: Final = "PGQUEUE_RELOADER"
"""The environment variable that tells a child whose it is."""


class Reloader:
    """One worker after the other; a change stops the old one as gracefully as SIGTERM.

    The child is in a session of its own, so that Ctrl-C in a terminal reaches this
    process alone, which passes it on once.
    """

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._stop = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None

    def run(self, changes: Iterable[object]) -> int:
        """Go on until a signal; return the exit code of the last worker."""
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, self._pass_on)
        self._start()
        for _ in changes:
            click.echo("pgqueue: the code has changed, the worker restarts", err=True)
            self._end()
            self._start()
        return self._end()

    @property
    def stopping(self) -> threading.Event:
        """Set by a signal: there will be no other worker."""
        return self._stop

    def _start(self) -> None:
        if not self._stop.is_set():
            self._child = subprocess.Popen(
                self._command,
                start_new_session=True,
                env={**os.environ, PARENT: str(os.getpid())},
            )
            # A signal may have come before there was anybody to pass it on to.
            if self._stop.is_set():
                self._child.terminate()

    def _end(self) -> int:
        if self._child is None:
            return 0
        if not self._stop.is_set():
            self._child.terminate()
        return self._child.wait()

    def _pass_on(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.set()
        if self._child is not None:
            self._child.terminate()


def end_with_reloader() -> None:
    """In a child: stop, gracefully, once the process that reloads it is gone."""
    # Not for the processes that this one starts.
    if parent := os.environ.pop(PARENT, None):
        watch = partial(end_with, int(parent), lambda: None)
        threading.Thread(target=watch, daemon=True).start()


def serve_reloading(folder: Path) -> int:
    """Serve as the command line of this process says; restart when *folder* changes.

    Raises:
        ConfigError: watchfiles is not installed.
    """
    try:
        from watchfiles import PythonFilter, watch  # noqa: PLC0415  an extra of its own
    except ModuleNotFoundError as error:
        raise ConfigError(
            '--reload needs an extra; run: pip install "pgqueue-jobs[reload]"'
        ) from error
    # As this process was started: `pgqueue`, `python -m pgqueue`, `manage.py pgqueue`.
    command = [sys.executable, *(each for each in sys.orig_argv[1:] if each != OPTION)]
    reloader = Reloader(command)
    click.echo(f"pgqueue: watching {os.fspath(folder)}", err=True)
    changes = watch(
        folder,
        watch_filter=PythonFilter(),
        stop_event=reloader.stopping,
        raise_interrupt=False,
        rust_timeout=500,
    )
    return reloader.run(changes)
