"""Write how a claimed job's run ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pgqueue import payload
from pgqueue.backoff import delay_before_retry
from pgqueue.compat.bullmq.claims import held
from pgqueue.compat.bullmq.custom_errors import MissingLock, UnrecoverableError
from pgqueue.compat.bullmq.options import check_json
from pgqueue.compat.bullmq.reading import ending, moment
from pgqueue.compat.bullmq.units import check_millis, millis
from pgqueue.errors import Unrecoverable
from pgqueue.ops import control, history, leases, maintenance
from pgqueue.ops.core import Op, Statement, atomic
from pgqueue.ops.releasing import Parent, release
from pgqueue.retention import resolve
from pgqueue.worker.outcome import CHILDREN, Outcome, describe, format_stack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pgqueue.compat.bullmq.claims import Claim
    from pgqueue.compat.bullmq.job import Job
    from pgqueue.ops.core import Row


def find_claim(job: Job, token: str | None, command: str = "moveToFinished") -> Claim:
    """Return the claim under which a job is held here.

    Raises:
        MissingLock: it is not held, or under another token.
    """
    claim = job.claim
    if claim is None and job.number is not None:
        claim = held.get((asyncio.get_running_loop(), job.number))
    if claim is None or claim.settled or claim.token != token:
        raise MissingLock(str(job.id), command)
    return claim


def write(
    claim: Claim, statements: Sequence[Statement]
) -> Op[tuple[list[list[Row]], datetime]]:
    """Write an outcome with what belongs to it; return when the job finished."""
    answers: list[list[Row]] = []
    for statement in statements:
        answers += [(yield statement)]
    return answers, (yield from ending(claim.core.queue_id, claim.core.id))


write_all = atomic(write)
"""The same, for several statements, of which all count or none."""


async def settle(claim: Claim, outcome: Outcome, command: str) -> int:
    """Write an outcome, then let parents go on; return when, in milliseconds.

    Raises:
        MissingLock: the lease ended before: somebody else may run the job.
    """
    holder, core = claim.holder, claim.core
    ended = holder.ended(claim, outcome)
    statements = holder.finisher.statements(claim.worker_id, [ended])
    # Mostly one: a slot is free for the next job by two round trips earlier.
    how = write if len(statements) == 1 else write_all
    answers, now = await holder.link.run(how(claim, statements))
    holder.drop(claim)
    rows = [row for rows in answers for row in rows if row and row[0] == core.id]
    if not rows:
        raise MissingLock(str(core.id), command)
    parents = [
        Parent(row[1], row[2]) for row in rows if len(row) > 1 and row[2] is not None
    ]
    if outcome.ending == "children":
        parents.append(Parent(core.queue_id, core.id))
    if parents:
        await holder.link.run(release(parents))
    await prune(claim, outcome)
    return millis(now) or 0


async def prune(claim: Claim, outcome: Outcome) -> None:
    """Apply the job's retention now; elsewhere it waits for the maintenance."""
    holder, stored = claim.holder, claim.core.options
    on_complete, on_fail = holder.owner.keeps
    if outcome.ending == "completed":
        keep = resolve(stored.remove_on_complete, on_complete)
    elif outcome.ending == "failed":
        keep = resolve(stored.remove_on_fail, on_fail)
    else:
        return
    if keep is None or keep.remove:
        return
    if keep.age is not None:
        await holder.link.run(maintenance.prune(holder.queue_id, 0.0))
    if keep.newest is not None:
        await holder.link.run(maintenance.trim(holder.queue_id))


async def complete(
    claim: Claim,
    job: Job,
    value: Any,
    *,
    next: bool,  # noqa: A002
) -> list[Any] | None:
    """Complete a claimed job.

    Raises:
        PayloadError: the value is not JSON; the job is as it was.
    """
    check_json(value)
    text = payload.encode(value, f"result of job {job.id}")
    now = await settle(claim, Outcome("completed", value, text), "moveToFinished")
    job.returnvalue = value
    job.attemptsMade += 1
    job.finishedOn = now
    return await fetch(claim) if next else None


async def fail(
    claim: Claim,
    job: Job,
    error: BaseException,
    *,
    next: bool,  # noqa: A002
) -> list[Any] | None:
    """Fail a claimed job's run: it runs again while attempts are left."""
    outcome = decide(claim, job, error)
    now = await settle(claim, outcome, "moveToFinished")
    job.failedReason = outcome.reason
    job.attemptsMade += 1
    job.stacktrace = [*job.stacktrace, outcome.stack or ""]
    limit = job.opts.get("stackTraceLimit")
    if limit is not None:
        job.stacktrace = job.stacktrace[-limit:] if limit else []
    if outcome.ending == "failed":
        job.finishedOn = now
    elif outcome.delay:
        job.delay = round(outcome.delay * 1000)
    return await fetch(claim) if next else None


async def wait_for_children(claim: Claim) -> None:
    """Let a claimed job wait for its children."""
    await settle(claim, CHILDREN, "moveToWaitingChildren")


async def delay_until(claim: Claim, job: Job, timestamp: int) -> None:
    """Let a claimed job run again at an instant, in ms; this run is no attempt."""
    due = check_millis("timestamp", timestamp)
    now = await claim.holder.link.read(moment())
    delay = max(0.0, due - now.timestamp() * 1000)
    await settle(claim, Outcome("later", delay=delay / 1000), "moveToDelayed")
    job.delay = round(delay)


async def fetch(claim: Claim) -> list[Any] | None:
    """Claim the next job under the same token, as BullMQ returns it."""
    found = await claim.holder.owner.getNextJob(claim.token, {"block": False})
    if found is None:
        return None
    return [
        {"name": found.name, "data": found.data, "opts": found.opts},
        found.id,
        0,
        0,
    ]


def decide(claim: Claim, job: Job, error: BaseException) -> Outcome:
    """Return what becomes of a job whose run raised."""
    reason, stack = describe(error), format_stack(error)
    final = isinstance(error, (UnrecoverableError, Unrecoverable))
    core = claim.core
    if final or core.attempt >= core.attempts:
        return Outcome("failed", reason=reason, stack=stack, error=error)
    delay = backoff(claim, job, error)
    if delay < 0:
        return Outcome("failed", reason=reason, stack=stack, error=error)
    return Outcome("retry", reason=reason, stack=stack, delay=delay, error=error)


def backoff(claim: Claim, job: Job, error: BaseException) -> float:
    """Return the seconds before the next run; negative: there is none."""
    rule = claim.core.options.backoff
    made = claim.core.attempt
    if not isinstance(rule, str):
        return delay_before_retry(rule, made)
    settings = claim.holder.owner.opts.get("settings") or {}
    strategy = settings.get("backoffStrategy")
    if strategy is None:
        problem: Exception = ValueError(
            f"Unknown backoff strategy {rule}. If a custom backoff strategy is used, "
            "specify it when the worker is created (settings.backoffStrategy)."
        )
    else:
        try:
            return float(strategy(made, rule, error, job)) / 1000
        except Exception as raised:  # noqa: BLE001  it is user code
            problem = raised
    claim.holder.owner.emit("error", problem)
    return 1.0


def save_progress(claim: Claim, value: Any) -> Op[None]:
    """Store how far a claimed job is; `LeaseLost` if it is not this worker's any more."""
    core = claim.core
    text = payload.encode(value, f"progress of job {core.id}")
    return leases.save_progress(
        claim.worker_id, core.queue_id, core.lease_id, core.id, text
    )


def save_data(claim: Claim, value: Any) -> Op[None]:
    """Replace the data of a claimed job; `LeaseLost` if it is not this worker's."""
    core = claim.core
    text = payload.encode(value, f"data of job {core.id}")
    return control.save_data(core.queue_id, core.lease_id, core.id, text)


def save_log(claim: Claim, text: str) -> Op[None]:
    """Add a line to the log of a claimed job; `LeaseLost` if it is not this worker's."""
    core = claim.core
    core.traces = True
    return history.save_log(
        core.queue_id, core.lease_id, core.id, text, core.options.keep_logs
    )
