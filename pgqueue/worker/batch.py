"""Batches: what a worker of them is told, and what each job comes to; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pgqueue import options
from pgqueue.errors import ConfigError, JobStateError
from pgqueue.worker.handlers import is_async
from pgqueue.worker.outcome import BadResult, Outcome, completed, failed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pgqueue.ops.core import Atomic, Op
    from pgqueue.types import Duration
    from pgqueue.worker.active_job import ActiveJob, Reporter

BatchHandler: TypeAlias = "Callable[[list[ActiveJob]], Any]"

MOST: Final = 10_000
"""So many jobs may run at once in the batches of one worker."""


@dataclass(frozen=True, slots=True)
class Batch:
    """How many jobs a handler takes at once.

    Args:
        size: at most so many.
        min_size: wait for so many before the handler starts;
        wait: but no longer than this after the first of them was claimed.

    Raises:
        ConfigError: something is out of its range.
    """

    size: int
    min_size: int = 1
    wait: Duration = 1.0

    def __post_init__(self) -> None:
        options.check_int("size", self.size, 1, MOST)
        options.check_int("min_size", self.min_size, 1, self.size)
        options.check_duration("wait", self.wait)

    @property
    def patience(self) -> float:
        """Return `wait` in seconds."""
        return options.check_duration("wait", self.wait)


def check_batch(batch: object, concurrency: int) -> Batch | None:
    """Return what was given as `batch=`, if it fits the concurrency.

    Raises:
        ConfigError: it is no `Batch`, or too many jobs would run at once.
    """
    if batch is None:
        return None
    if not isinstance(batch, Batch):
        raise ConfigError.bad("batch", batch, "a pgqueue.Batch")
    if batch.size * concurrency > MOST:
        raise ConfigError.bad(
            "concurrency",
            concurrency,
            f"with batches of {batch.size} at most {MOST // batch.size}: it counts "
            f"batches, and no more than {MOST} jobs run at once",
        )
    return batch


def check_one_job(batch: Batch | None, what: str) -> None:
    """Raise `ConfigError` if what takes one job is given to a worker of batches."""
    if batch is not None:
        raise ConfigError(
            f"{what} takes one job, and this worker has batch={batch}; give it a worker "
            "without"
        )


def share_out(jobs: Sequence[ActiveJob], result: Any) -> dict[ActiveJob, Outcome]:
    """Return what each job comes to when the handler of all returns.

    Raises:
        BadResult: it is not said which job each value belongs to.
    """
    if result is None:
        return {job: completed(job, None) for job in jobs}
    if isinstance(result, Mapping):
        if strange := sorted(map(repr, set(result) - {job.id for job in jobs})):
            raise BadResult(
                f"a handler of a batch returned a dict with the key {strange[0]}, "
                f"which is no id of its jobs; {ALLOWED}"
            )
        return {job: one_outcome(job, result.get(job.id)) for job in jobs}
    if not isinstance(result, (list, tuple)):
        kind = type(result).__name__
        raise BadResult(f"a handler of a batch returned a value of {kind}; {ALLOWED}")
    if len(result) != len(jobs):
        raise BadResult(
            f"a handler of {len(jobs)} jobs returned {len(result)} values; {ALLOWED}"
        )
    pairs = zip(jobs, result, strict=True)
    return {job: one_outcome(job, value) for job, value in pairs}


ALLOWED: Final = "return None, a list with a value for each job, or {job.id: value}"


def one_outcome(job: ActiveJob, value: Any) -> Outcome:
    """Return what a job comes to; an exception is as if it had raised it."""
    if isinstance(value, BaseException):
        return failed(job, value)
    return completed(job, value)


class BatchReporter:
    """The reporter of the jobs of one batch: they may also settle by themselves.

    Args:
        through: carries the other calls.
        settle: called with each outcome, once a job, in the handler's thread.
    """

    def __init__(
        self, through: Reporter, settle: Callable[[ActiveJob, Outcome], None]
    ) -> None:
        self.committer = through.committer
        self._through = through
        self._settle = settle
        self._said: dict[int, Outcome] = {}

    def progress(self, job: ActiveJob, value: str) -> Awaitable[None]:
        """Store progress."""
        return self._through.progress(job, value)

    def call(self, job: ActiveJob, op: Op[Any] | Atomic[Any]) -> Any:
        """Run an operation of a job's own."""
        return self._through.call(job, op)

    def settle(self, job: ActiveJob, outcome: Outcome) -> None:
        """End a job before its handler ends.

        Raises:
            JobStateError: that was done before.
        """
        # Atomic: a handler may spread its jobs over threads.
        if self._said.setdefault(job.id, outcome) is not outcome:
            raise JobStateError(job.id, "settled", "unsettled", "settled")
        self._settle(job, outcome)


def alone(handler: BatchHandler) -> Alone | AloneAsync:
    """Return what runs one job, in a process of its own, with the handler of batches."""
    return AloneAsync(handler) if is_async(handler) else Alone(handler)


@dataclass
class Alone:
    """A `def` handler of batches, for one job."""

    handler: BatchHandler

    def __call__(self, job: ActiveJob) -> Any:
        """Run the job as a batch of one."""
        said = listen(job)
        try:
            return unwrap(job, said, self.handler([job]))
        except Exception:
            if not said:
                raise
        return unwrap(job, said, None)


@dataclass
class AloneAsync:
    """An `async def` handler of batches, for one job."""

    handler: BatchHandler

    async def __call__(self, job: ActiveJob) -> Any:
        """Run the job as a batch of one."""
        said = listen(job)
        try:
            return unwrap(job, said, await self.handler([job]))
        except Exception:
            if not said:
                raise
        return unwrap(job, said, None)


def listen(job: ActiveJob) -> list[Outcome]:
    """Return where the job's own outcome will be, if it says one."""
    said: list[Outcome] = []
    assert job.reporter is not None, "it is about to run"  # noqa: S101
    job.reporter = BatchReporter(job.reporter, lambda _job, one: said.append(one))
    return said


def unwrap(job: ActiveJob, said: list[Outcome], result: Any) -> Any:
    """Return a job's own value from what the handler returned, or raise its error."""
    outcome = said[0] if said else share_out([job], result)[job]
    if outcome.ending == "completed":
        return outcome.result
    if outcome.ending == "children":
        job.wait_children()
    raise outcome.error or BadResult(outcome.reason)
