"""Jobs of schedules that this worker has begun: their schedules must go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import psycopg

from pgqueue.db.translate import is_passing
from pgqueue.errors import PgQueueError
from pgqueue.ops.schedules import Begun, advance

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.emitter import Emitter
    from pgqueue.worker.session import Session

HELD: Final = 0.1
"""How long to leave a schedule alone that a caller's transaction holds (seconds)."""


class Occurrences:
    """What was begun and not yet passed on.

    It goes on before the outcome of its job is written, so a worker that dies between
    the two leaves a job that runs again, and passes it on then.

    Args:
        wake: called when there is something to do again.
    """

    def __init__(
        self, session: Session, emitter: Emitter, wake: Callable[[], None]
    ) -> None:
        self._session = session
        self._emitter = emitter
        self._wake = wake
        self._begun: set[Begun] = set()
        self._resting = False

    def note(self, job: ActiveJob, schedule: str) -> None:
        """Take in a claimed job that a schedule made."""
        self._begun.add(Begun(job.queue_id, schedule, job.id))
        self._resting = False

    @property
    def pressing(self) -> bool:
        """Whether a schedule is to go on now."""
        return bool(self._begun) and not self._resting

    async def advance(self) -> set[int]:
        """Let the schedules go on; return the queues that got a job."""
        tried = set(self._begun)
        try:
            held, fed, problems = await self._session.drive(advance(tried))
        except psycopg.Error as error:
            if is_passing(error):
                raise
            # Refused for good: maintenance tries each by itself when its job has ended.
            held, fed, problems = set(), set(), [str(error)]
        self._begun -= tried - held
        if held:
            self._resting = True
            asyncio.get_running_loop().call_later(HELD, self._again)
        for problem in problems:
            self._emitter.error(PgQueueError(problem), "schedules")
        return fed

    def _again(self) -> None:
        self._resting = False
        self._wake()
