"""Tells the log and the listeners how a run ended, once that is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue import telemetry
from pgqueue.errors import JobFailed
from pgqueue.telemetry import Raised
from pgqueue.types import JobState
from pgqueue.worker.outcome import headline, remote

if TYPE_CHECKING:
    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.emitter import Emitter
    from pgqueue.worker.outcome import Outcome


def report(job: ActiveJob, outcome: Outcome, ran: float, emitter: Emitter) -> None:
    """Say what became of a job that ran for *ran* seconds."""
    if outcome.ending == "completed":
        if telemetry.wanted("job.completed"):
            tell("job.completed", job, attempt=job.attempt, took=round(ran, 4))
        if emitter.heard("completed"):
            done = job.snapshot(JobState.COMPLETED, result=outcome.result)
            emitter.emit("completed", done, outcome.result)
    elif outcome.ending in ("released", "limited", "children"):
        tell("job.released", job)
    else:
        report_failure(job, outcome, ran, emitter)


def report_failure(
    job: ActiveJob, outcome: Outcome, ran: float, emitter: Emitter
) -> None:
    """Say why a run failed, and whether another follows."""
    again = outcome.ending != "failed"
    reason = outcome.reason or ""
    raised = None
    if outcome.stack:
        # The traceback of what a child process raised is a text only.
        here = None if remote(outcome.error) else outcome.error
        raised = Raised(here, outcome.stack)
    tell(
        "job.retrying" if again else "job.failed",
        job,
        raised,
        attempt=job.attempt,
        took=round(ran, 4),
        reason=headline(outcome.error, reason),
    )
    if outcome.ending == "later":
        return
    state = JobState.FAILED
    if again:
        state = JobState.DELAYED if outcome.delay > 0 else JobState.WAITING
    snapshot = job.snapshot(state, error=reason)
    error = JobFailed(job.id, reason, will_retry=again, stack=outcome.stack or "")
    error.__cause__ = outcome.error
    emitter.emit("failed", snapshot, error)
    if again:
        emitter.emit("retrying", snapshot, error)


def tell(
    fact: str, job: ActiveJob, raised: Raised | None = None, **more: object
) -> None:
    """Tell a fact about a job, with what it is found by."""
    telemetry.emit(fact, raised, queue=job.queue, name=job.name, job_id=job.id, **more)
