"""Worker processes that a test starts, signals and listens to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

from waiting import until

CHILD = Path(__file__).with_name("child.py")


class Process:
    """One `child.py`, or another script like it; gone at the end of its `with` block, whatever happened."""

    def __init__(
        self,
        dsn: str,
        *,
        queue: str = "work",
        kind: str = "async def",
        drain: bool = False,
        script: Path = CHILD,
        **options: Any,
    ) -> None:
        given = {
            "queue": queue,
            "kind": kind,
            "drain": drain,
            "options": {"dsn": dsn, **options},
        }
        self._lines: list[tuple[str, dict[str, Any]]] = []
        self._process = subprocess.Popen(
            [sys.executable, str(script), json.dumps(given)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        self.until("worker.started")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, _, fields = line.partition(" ")
            self._lines.append((word, json.loads(fields)))

    def said(self, word: str) -> list[dict[str, Any]]:
        return [fields for said, fields in list(self._lines) if said == word]

    def until(self, word: str, times: int = 1, timeout: float = 15) -> dict[str, Any]:
        """Wait until it has said a word so often; return what it said last."""
        message = f"{word}, {times} times, from the worker process"
        until(lambda: len(self.said(word)) >= times, timeout, message=message)
        return self.said(word)[times - 1]

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.wait()

    def wait(self, timeout: float = 15) -> int:
        return self._process.wait(timeout)
