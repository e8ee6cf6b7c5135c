"""What a handler's transaction needs of its worker to complete the job in it."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgqueue.db.django import by_alias
from pgqueue.db.enclose import aenclose, enclose
from pgqueue.db.spare import Spare
from pgqueue.errors import ConfigError, LeaseLost
from pgqueue.ops.core import Op, Statement
from pgqueue.worker.completion import Completion
from pgqueue.worker.finishing import Ended

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from pgqueue.config import Settings
    from pgqueue.ops.core import Row
    from pgqueue.types import Keep
    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.finisher import Finisher
    from pgqueue.worker.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every completion of one life of a worker, in its children too.

    Attributes:
        keep: the retention of jobs that complete, and of those that fail.
        alias: lend Django's connection of this alias to `def` handlers.
    """

    settings: Settings
    worker_id: int
    keep: tuple[Keep | None, Keep | None] = (None, None)
    alias: str | None = None


class Committer:
    """Completes jobs of one worker in transactions of their handlers.

    Args:
        heard: called with a job whose completion has committed, in the handler's thread.
        keep: keep the connections that are lent, until `close`.
    """

    def __init__(
        self,
        terms: Terms,
        finisher: Finisher,
        heard: Callable[[ActiveJob], None],
        *,
        keep: bool = True,
    ) -> None:
        self.schema = terms.settings.schema
        self._terms = terms
        self._finisher = finisher
        self._heard = heard
        self._spare = Spare(terms.settings, keep=keep)

    def lend(self) -> AbstractContextManager[Any]:
        """Lend a connection to the worker's database."""
        if self._terms.alias is not None:
            return nullcontext(by_alias(self._terms.alias))
        return self._spare.lend()

    def alend(self) -> AbstractAsyncContextManager[Any]:
        """Do what `lend` does, awaiting; always a connection of psycopg's."""
        return self._spare.alend()

    def enclose(self, connection: object) -> AbstractContextManager[None]:
        """Return a block that ends with the commit of a connection, or its rollback."""
        return enclose(connection)

    def aenclose(self, connection: object) -> AbstractAsyncContextManager[None]:
        """Do what `enclose` does, awaiting."""
        return aenclose(connection)

    def mark(self, job: ActiveJob) -> Op[None]:
        """Begin: mark the transaction."""
        yield Statement("mark_transaction", {"mark": mark_of(job)})

    def complete(self, job: ActiveJob, outcome: Outcome) -> Op[Completion]:
        """End: complete the job in the marked transaction, if it is still leased.

        Raises:
            ConfigError: the transaction is another one by now.
            LeaseLost: another worker may run the job now.
        """
        [(same, *_)] = yield Statement("check_mark", {"mark": mark_of(job)})
        if not same:
            raise ConfigError(
                f"the transaction of job {job.id} was committed or rolled back inside "
                "its block; leave that to the block's end, which completes the job"
            )
        ran = time.perf_counter() - job.began
        taken = [Ended(job, outcome, ran)]
        answers: list[list[Row]] = []
        for statement in self._finisher.statements(self._terms.worker_id, taken):
            rows = yield statement
            if not answers and not rows:
                raise LeaseLost(job.id)
            answers.append(rows)
        return Completion(outcome, ran, answers)

    def written(self, job: ActiveJob, completion: Completion) -> None:
        """Note that the next thing to happen is the commit."""
        job.completion = completion

    def refused(self, job: ActiveJob) -> None:
        """Note that the server refused the commit: nothing was written."""
        job.completion = None

    def committed(self, job: ActiveJob, completion: Completion) -> None:
        """Note that a completion counts."""
        completion.committed = True
        self._heard(job)

    async def close(self) -> None:
        """Close the connections."""
        await self._spare.close()


def mark_of(job: ActiveJob) -> str:
    """Return what no other transaction is marked with."""
    return f"{job.lease_id}.{job.id}.{job.blocks}"
