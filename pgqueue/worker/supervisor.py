"""`processes=N`: several worker processes under one that restarts what dies.

The parent forks before anything is opened, forwards signals, and does no other work. A
process that dies is replaced, after a pause that grows while replacements die too.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from pgqueue import telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 30.0
SETTLED: Final = 10.0
"""A process that lived so long (seconds) was well: the next pause is the first again."""

TICK: Final = 0.1
LOOK: Final = 1.0
"""How often a process looks for its supervisor, and what that has changed (seconds)."""


class Supervisor:
    """Keeps N processes running until it is told to stop.

    Args:
        run: what each process does; it returns when that process is to end.
        processes: how many.
        tick: called in each process about once a second, in a thread of its own.
    """

    def __init__(
        self,
        run: Callable[[], None],
        processes: int,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._run = run
        self._tick = tick
        self._wanted = processes
        self._born: dict[int, float] = {}
        self._stopping = False
        self._pause = FIRST_PAUSE
        self._not_before = 0.0

    def run(self) -> None:
        """Supervise until all processes were told to end, or have nothing left to do."""
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(number, self._forward) for number in numbers]
        try:
            while self._born or (self._wanted and not self._stopping):
                self._fill()
                self._reap()
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def _fill(self) -> None:
        """Start what is missing, unless replacements keep dying."""
        while not self._stopping and len(self._born) < self._wanted:
            if time.monotonic() < self._not_before:
                return
            self._fork()

    def _fork(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._born[pid] = time.monotonic()
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        code = 1
        watch = partial(end_with, parent, self._tick)
        threading.Thread(target=watch, daemon=True).start()
        try:
            self._run()
            code = 0
        except KeyboardInterrupt:
            code = 130
        except BaseException:  # noqa: BLE001  it is this process that ends here
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        """Notice the processes that have ended, or wait a moment."""
        for pid in list(self._born):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            lived = time.monotonic() - self._born.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if code == 0 or self._stopping:
                # It was told to stop, or drained its queues: no other takes its place.
                self._wanted -= 1
                continue
            telemetry.emit("worker.died", pid=pid, code=code, again_in=self._pause)
            self._not_before = time.monotonic() + self._pause
            longer = min(LONGEST_PAUSE, self._pause * 2)
            self._pause = FIRST_PAUSE if lived > SETTLED else longer
        select.select((), (), (), TICK)

    def _forward(self, number: int, _frame: object) -> None:
        self._stopping = True
        for pid in self._born:
            os.kill(pid, number)


def end_with(parent: int, tick: Callable[[], None]) -> None:
    """Stop this process, gracefully, once it has lost its supervisor."""
    alone = threading.Event()
    while os.getppid() == parent:
        tick()
        alone.wait(LOOK)
    os.kill(os.getpid(), signal.SIGTERM)
