"""A worker that runs beside the code that entered it: `async with worker:`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgqueue.worker.worker import Worker


class Background:
    """The task of such a worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._begun = asyncio.Event()
        self._ending = False

    def begun(self) -> None:
        """Note that the database knows it: it takes jobs as soon as it can."""
        self._begun.set()

    async def start(self) -> None:
        """Return once the database knows it, or raise what kept it from that."""
        self._task = asyncio.create_task(self._worker.serve(), name="worker")
        begun = asyncio.create_task(self._begun.wait())
        try:
            await asyncio.wait((self._task, begun), return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            # Nobody will leave what was not entered.
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            raise
        finally:
            begun.cancel()
        if self._task.done():
            self._task.result()
        self._task.add_done_callback(self._ended)

    async def end(self) -> None:
        """Stop it gracefully, and raise what it ended with."""
        self._ending = True
        self._worker.stop()
        await self._task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Say at once that it is gone: the code beside it may go on for days."""
        if self._ending or task.cancelled():
            return
        if error := task.exception():
            self._worker.emitter.error(error, "the worker, which has ended")
