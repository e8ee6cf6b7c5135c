"""Renews a worker's leases from a thread that handlers cannot block.

The worker may go on until the moment that the database would declare it dead. That
moment is counted from before the last renewal was sent, on a clock that also runs while
the machine sleeps.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

import psycopg

from pgqueue.db.connect import configure, connect_options
from pgqueue.db.run import run
from pgqueue.errors import PgQueueError
from pgqueue.ops.leases import look_for_cancelled, renew

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgqueue.config import Settings
    from pgqueue.worker.outage import Outage

MARGIN: Final = 0.1
"""Share of the lease, and at least a second of it, by which the worker stops early."""


def clock() -> float:
    """Return seconds that also pass while the machine is suspended."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class Heartbeat:
    """The heartbeat of one worker id.

    Args:
        fenced: called, in the thread, once the database says that the worker is dead.
        ended: called, in the thread, at its end.
        cancelled: called, in the thread, with the jobs that are to be stopped.
        outage: told whether the database answers.
    """

    def __init__(
        self,
        settings: Settings,
        worker_id: int,
        lease: float,
        *,
        fenced: Callable[[], None],
        ended: Callable[[], None],
        cancelled: Callable[[list[int]], None],
        outage: Outage,
    ) -> None:
        self._settings = settings
        self._worker_id = worker_id
        self._lease = lease
        self._fenced = fenced
        self._ended = ended
        self._cancelled = cancelled
        self._outage = outage
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="pgqueue-heartbeat", daemon=True
        )
        self._renewed = clock()
        self._connection: psycopg.Connection[Any] | None = None

    def start(self) -> None:
        """Begin; the worker was registered just now."""
        self._renewed = clock()
        self._thread.start()

    def stop(self) -> None:
        """End; last of all, when no lease is left."""
        self._stop.set()

    def time_left(self) -> float:
        """Return the seconds for which the leases are still certainly valid."""
        margin = max(self._lease * MARGIN, min(1.0, self._lease / 3))
        return self._renewed + self._lease - margin - clock()

    def _run(self) -> None:
        try:
            self._beat()
        finally:
            self._drop()
            self._ended()

    def _beat(self) -> None:
        pause = self._lease / 3
        while not self._stop.wait(pause):
            began = clock()
            try:
                alive = self._renew()
            except (psycopg.Error, OSError, PgQueueError) as error:
                self._outage.lost("heartbeat", error)
                self._drop()
                pause = min(1.0, self._lease / 10)
                continue
            self._outage.works("heartbeat")
            if not alive:
                self._fenced()
                return
            self._renewed = began
            pause = self._lease / 3

    def _renew(self) -> bool:
        if self._connection is None:
            options = connect_options(self._settings)
            options["connect_timeout"] = max(2, int(self._lease / 3))
            options["tcp_user_timeout"] = max(1000, int(self._lease * 500))
            self._connection = psycopg.connect(self._settings.dsn, **options)
            configure(self._connection)
        schema = self._settings.schema
        alive = run(self._connection, renew(self._worker_id), schema)
        look = look_for_cancelled(self._worker_id)
        if alive and (job_ids := run(self._connection, look, schema)):
            self._cancelled(job_ids)
        return alive

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
