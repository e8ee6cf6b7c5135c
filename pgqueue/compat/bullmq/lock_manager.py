"""`LockManager`: keeps the leases of what a worker runs, and its abort signals."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pgqueue.compat.bullmq.abort_controller import AbortController
from pgqueue.compat.bullmq.custom_errors import MissingLock

if TYPE_CHECKING:
    from pgqueue.compat.bullmq.claims import Claim
    from pgqueue.compat.bullmq.job import Job


LONGEST_PAUSE: Final = 5.0


class LockManager:
    """Renews the locks of a worker's jobs until they are done.

    Args:
        worker: whose jobs they are.
        lock_renew_time: milliseconds within which a lock is renewed.
        lock_duration: how long a lock lasts without that.
    """

    def __init__(
        self,
        worker: Any,
        lock_renew_time: int,
        lock_duration: int,
        worker_id: str = "",
        worker_name: str | None = None,
    ) -> None:
        self.worker = worker
        self.lock_renew_time = lock_renew_time
        self.lock_duration = lock_duration
        self.worker_id = worker_id
        self.worker_name = worker_name
        self.closed = False
        self._tracked: dict[str, AbortController | None] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to renew; twice does no harm."""
        if self._task is None and not self.closed:
            self._task = asyncio.get_running_loop().create_task(self._renew())

    def is_running(self) -> bool:
        """Return whether locks are renewed."""
        return self._task is not None and not self.closed

    def track_job(
        self, job_id: str, token: str, ts: int, should_create_controller: bool = False
    ) -> AbortController | None:
        """Keep the lock of a job that begins; return its controller if it has one."""
        if self.closed:
            return None
        controller = AbortController() if should_create_controller else None
        self._tracked[str(job_id)] = controller
        return controller

    def untrack_job(self, job_id: str) -> None:
        """Let go of a job that has ended."""
        self._tracked.pop(str(job_id), None)

    def get_active_job_count(self) -> int:
        """Return how many jobs' locks are kept alive here."""
        return len(self._tracked)

    def get_tracked_job_ids(self) -> list[str]:
        """Return the ids of those jobs."""
        return list(self._tracked)

    def cancel_job(self, job_id: str, reason: str | None = None) -> bool:
        """Abort the signal of a job; False if there is none."""
        controller = self._tracked.get(str(job_id))
        if controller is None:
            return False
        controller.abort(reason)
        return True

    def cancel_all_jobs(self, reason: str | None = None) -> None:
        """Abort all signals."""
        for controller in self._tracked.values():
            if controller is not None:
                controller.abort(reason)

    async def close(self) -> None:
        """Stop renewing; twice does no harm."""
        self.closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._tracked.clear()

    async def _renew(self) -> None:
        # In thirds of the lock at the latest, whatever was asked: one may fail.
        pause = min(self.lock_renew_time / 2, self.lock_duration / 3) / 1000
        # And often enough for `Queue.cancel`.
        pause = min(pause, LONGEST_PAUSE)
        while True:
            await asyncio.sleep(max(0.01, pause))
            try:
                kept = await self.worker.holder.renew()
                self._tell(kept)
                self.worker.stop_cancelled(await self.worker.holder.cancelled())
            except Exception as error:  # noqa: BLE001  the next one tries again
                self.worker.emit("error", error)

    def _tell(self, kept: list[Claim]) -> None:
        numbers = {claim.core.id for claim in kept}
        running: dict[str, Job] = self.worker.running_jobs
        ids = [one for one, job in running.items() if job.number in numbers]
        lost = [one for one in running if one not in ids and one in self._tracked]
        if lost:
            self.worker.emit("lockRenewalFailed", lost)
            for job_id in lost:
                self.worker.emit("error", MissingLock(job_id, "extendLock"))
        if ids:
            self.worker.emit("locksRenewed", {"count": len(ids), "jobIds": ids})
