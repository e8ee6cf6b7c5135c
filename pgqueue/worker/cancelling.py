"""Stops jobs that are cancelled, also those whose claim is only just coming back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue.ops.leases import look_for_cancelled

if TYPE_CHECKING:
    from collections.abc import Collection

    from pgqueue.worker.dispatch import Dispatch
    from pgqueue.worker.session import Session


class Cancelling:
    """The cancellations of one worker.

    A job can be cancelled between the commit of its claim and the moment its worker has
    the answer. The doorbell then names a job that nobody here knows, as it does for each
    job of other workers; only the database can tell which.

    Attributes:
        pressing: somebody cancelled a job unknown here while a round trip was under way,
            or may have cancelled one of ours while nobody here listened.
    """

    def __init__(self, session: Session, dispatch: Dispatch, worker_id: int) -> None:
        self._session = session
        self._dispatch = dispatch
        self._worker_id = worker_id
        self.pressing = False

    def cancel(self, job_ids: Collection[int]) -> None:
        """Stop those of the jobs that are here."""
        found = self._dispatch.cancel(job_ids)
        if found < len(job_ids) and self._session.busy:
            self.pressing = True

    async def look(self) -> None:
        """Ask which jobs are to be stopped, after the round trip that may have won them."""
        # What is cancelled meanwhile, or heard of, is asked about anew.
        self.pressing = False
        try:
            op = look_for_cancelled(self._worker_id)
            self._dispatch.cancel(await self._session.drive(op))
        except BaseException:
            self.pressing = True
            raise
