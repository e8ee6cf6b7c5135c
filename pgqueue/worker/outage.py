"""One fact an outage: what the connections of a worker notice of it is told once.

A worker has several connections, and each finds out by itself that the server is gone,
some of them long after the others are back.
"""

from __future__ import annotations

import threading
from typing import Any

from pgqueue import telemetry
from pgqueue.db.translate import one_line


class Outage:
    """Whether the database answers one worker, through all its lives; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._away: set[str] = set()
        self._told = 0
        self._seen: dict[str, int] = {}

    def lost(self, part: str, error: BaseException, **fields: Any) -> None:
        """Note that a part of the worker does not reach the database, or lost it.

        The first to notice says so in a warning; the others, and each further try, are
        for who debugs.
        """
        with self._lock:
            old = self._seen.pop(part, self._told) < self._told
            first = not self._away and not old
            # Or a connection from before the last outage, which is over, broke in that.
            if self._away or first:
                self._away.add(part)
            self._told += first
        fact = "database.lost" if first else "database.away"
        telemetry.emit(fact, during=part, error=one_line(error), **fields)

    def works(self, part: str) -> None:
        """Note that a part has just got an answer, on a connection that it keeps."""
        with self._lock:
            self._seen[part] = self._told
            back = self._away == {part}
            self._away.discard(part)
        if back:
            telemetry.emit("database.restored")

    def over(self) -> None:
        """Begin a new life in which every part has new connections."""
        with self._lock:
            back = bool(self._away)
            self._away.clear()
            self._seen.clear()
        if back:
            telemetry.emit("database.restored")
