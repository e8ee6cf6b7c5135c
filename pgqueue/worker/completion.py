"""A completion that is written in a handler's own transaction, and its commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgqueue.errors import ConfigError, JobError
from pgqueue.worker.outcome import CANCELLED, Outcome, failed

if TYPE_CHECKING:
    from pgqueue.ops.core import Row
    from pgqueue.worker.active_job import ActiveJob


@dataclass(slots=True, eq=False)
class Completion:
    """What a handler's transaction says of its job.

    Attributes:
        outcome: the job completed, and with which result.
        ran: for how long, in seconds.
        answers: of the database, to the statements that wrote it.
        committed: it counts. Until then nobody here can know.
        error: why the answer to the commit was lost.
        told: listeners know.
    """

    outcome: Outcome
    ran: float
    answers: list[list[Row]]
    committed: bool = False
    error: BaseException | None = None
    told: bool = False


def instead(job: ActiveJob, outcome: Outcome) -> Outcome:
    """Return what a run comes to whose commit has had no answer.

    It is refused if the commit happened after all. If not, the handler's writes are not
    there, and a handler that went on as if they were must not complete the job.
    """
    done = job.completion
    if done is None or done.error is None or outcome.ending != "completed":
        return outcome
    return failed(job, done.error)


def afterthought(
    job: ActiveJob, done: Completion, outcome: Outcome
) -> BaseException | None:
    """Return what there is to say of how a run ended whose job had completed before."""
    if outcome is CANCELLED:
        return None
    if outcome.ending != "completed":
        return outcome.error or JobError(job.id, outcome.reason or outcome.ending)
    if outcome.result is not None and outcome.encoded != done.outcome.encoded:
        return ConfigError(
            f"the handler of job {job.id} returned a value after its transaction had "
            "committed, and the value is lost; call job.complete(value) in the block"
        )
    return None
