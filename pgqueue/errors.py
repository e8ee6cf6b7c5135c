"""The whole error tree: what can go wrong, and what to do about it.

```
PgQueueError
├ ConfigError(ValueError)            a bad option, name, DSN or setting
│ └ UnknownOption(TypeError)         an option that there is not
├ StatementTimeout(TimeoutError)     PostgreSQL took longer than it was given
├ SchemaError                        not migrated, too old or too new
├ DatabaseUnavailable                the server cannot be reached or went away
├ UnsupportedConnection(TypeError)   `connection=` is none of the accepted kinds
├ PayloadError(ValueError)           data or a result that cannot be stored
├ ScheduleNotFound(LookupError)      no schedule of the queue has the key
├ QueueNotEmpty                      obliterate refused: jobs are active
├ JobError                           about one job
│ ├ JobNotFound(LookupError) ├ JobStateError ├ LeaseLost ├ NoHandler └ JobFailed
└ HandlerSignal                      raised by handlers to steer their job
  ├ Unrecoverable ├ RetryLater ├ RateLimited └ WaitForChildren
```
"""

from __future__ import annotations

import difflib
import inspect
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class PgQueueError(Exception):
    """Base of everything that pgqueue raises."""


class ConfigError(PgQueueError, ValueError):
    """An option, name, DSN or setting is out of its range; raised before any I/O."""

    @classmethod
    def bad(cls, option: str, value: object, allowed: str) -> ConfigError:
        """Name the option, the value that was given and what is allowed instead."""
        return cls(f"{option}={short(value)} is not valid: {option} takes {allowed}")


class UnknownOption(ConfigError, TypeError):
    """A call got an option that it does not have; a TypeError too, as Python's is."""

    @classmethod
    def of(cls, call: Callable[..., Any], given: Mapping[str, object]) -> UnknownOption:
        """Name the first of them, and the options that there are."""
        parameters = inspect.signature(call).parameters.values()
        known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        name = next(iter(given))
        if close := difflib.get_close_matches(name, known, n=1):
            return cls(f"there is no option {name!r}; did you mean {close[0]!r}?")
        return cls(f"there is no option {name!r}; there are: {', '.join(known)}")


class SchemaError(PgQueueError):
    """The database lacks pgqueue's schema, or has another version of it."""


class DatabaseUnavailable(PgQueueError):
    """PostgreSQL could not be reached, or the connection broke during a call."""


class StatementTimeout(PgQueueError, TimeoutError):
    """PostgreSQL gave a statement up that took longer than it was given."""


class UnsupportedConnection(PgQueueError, TypeError):
    """`connection=` or `pool=` got something that pgqueue cannot run statements on."""

    def __init__(
        self,
        got: object,
        accepted: str,
        option: str = "connection",
        *,
        inside: object | None = None,
    ) -> None:
        kind = f"{type(got).__module__}.{type(got).__qualname__}"
        if inside is not None:
            kind += f" on {type(inside).__module__}.{type(inside).__qualname__}"
        super().__init__(f"{option}= got a {kind}; accepted here: {accepted}")


class PayloadError(PgQueueError, ValueError):
    """Job data or a result that JSON or PostgreSQL cannot hold, or that is too large."""


class ScheduleNotFound(PgQueueError, LookupError):
    """No schedule of this queue has the key: it was removed, or never made."""

    def __init__(self, key: str, queue: str) -> None:
        super().__init__(f"queue {queue!r} has no schedule {key!r}")
        self.key = key
        self.queue = queue


class QueueNotEmpty(PgQueueError):
    """Obliterate was refused because jobs of the queue are active."""

    def __init__(self, queue: str, active: int) -> None:
        super().__init__(
            f"Cannot obliterate queue with active jobs: {queue!r} has {active}, "
            "nothing was removed and the queue stays paused; wait for them, "
            "or pass force=True"
        )
        self.queue = queue
        self.active = active


class JobError(PgQueueError):
    """Something about one job; `job_id` says which."""

    def __init__(self, job_id: int, message: str, *, will_retry: bool = False) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.will_retry = will_retry


class JobNotFound(JobError, LookupError):
    """No job of this queue has the id: it was removed, pruned or never added."""

    def __init__(self, job_id: int, queue: str) -> None:
        super().__init__(job_id, f"queue {queue!r} has no job {job_id}")


class KeyTaken(JobError):
    """A child of a flow has a key that another job has; nothing was added."""

    def __init__(self, job_id: int, queue: str, key: str) -> None:
        super().__init__(
            job_id,
            f"queue {queue!r} has a job with the key {key!r} already (job {job_id}), so "
            "the flow was not added; a key on its root makes adding it twice harmless",
        )
        self.key = key


class JobStateError(JobError):
    """The job is in a state in which the call makes no sense."""

    def __init__(self, job_id: int, state: str, expected: str, verb: str) -> None:
        super().__init__(
            job_id, f"job {job_id} is {state}; only {expected} jobs can be {verb}"
        )
        self.state = state
        self.expected = expected


class LeaseLost(JobError):
    """Another worker may hold this job now, so what this one reported was refused."""

    def __init__(self, job_id: int) -> None:
        super().__init__(
            job_id,
            f"the lease on job {job_id} ended before its outcome arrived; the outcome "
            "was dropped (raise `lease`, or keep the process responsive)",
        )


class NoHandler(JobError):
    """A worker claimed a job that none of its handlers is for, and gave it back.

    It is heard by `error` listeners, once a name and minute.

    Args:
        known: the names that have a handler here.
    """

    def __init__(
        self, job_id: int, queue: str, name: str, known: Iterable[str] = ()
    ) -> None:
        names = ", ".join(map(repr, sorted(known)))
        here = f" (there are handlers for {short_text(names, 300)})" if names else ""
        super().__init__(
            job_id,
            f"no handler here for {name!r} of queue {queue!r} (job {job_id}){here}; such "
            "jobs are held for other workers and looked at again: register one, or a "
            "handler for all names",
        )
        self.queue = queue
        self.name = name


class JobFailed(JobError):
    """One run of a job failed; `will_retry` tells whether another follows."""

    def __init__(
        self, job_id: int, reason: str, *, will_retry: bool = False, stack: str = ""
    ) -> None:
        super().__init__(job_id, reason, will_retry=will_retry)
        self.reason = reason
        self.stack = stack


class HandlerSignal(PgQueueError):
    """Base of the exceptions by which a handler says what becomes of its job."""


class Unrecoverable(HandlerSignal):
    """Fail the job now, whatever attempts are left."""


class RetryLater(HandlerSignal):
    """Run the job again after *delay*, without using up an attempt.

    Args:
        delay: a `timedelta` or seconds.
        reason: kept with the job while it waits.
    """

    def __init__(self, delay: float | timedelta, reason: str = "") -> None:
        seconds = signal_delay(delay)
        super().__init__(reason or f"again in {seconds:g} s")
        self.delay = seconds


class RateLimited(HandlerSignal):
    """Let no job of the queue start for *delay*; this one goes back to its place.

    If the job has a group, no job of that group. No attempt is used up.

    Args:
        delay: a `timedelta` or seconds.
    """

    def __init__(self, delay: float | timedelta) -> None:
        seconds = signal_delay(delay)
        super().__init__(f"the queue is limited for {seconds:g} s")
        self.delay = seconds


class WaitForChildren(HandlerSignal):
    """Put the job to waiting_children: it runs again once its children have settled.

    No attempt is used. Without a child that is pending it runs again at once.
    """


def signal_delay(delay: object) -> float:
    """Return the seconds that a signal is raised with.

    Raises:
        ConfigError: they are none; text is none either.
    """
    given = delay.total_seconds() if isinstance(delay, timedelta) else delay
    try:
        seconds = float("nan") if isinstance(given, (str, bytes)) else float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        seconds = float("nan")
    if not 0 <= seconds < float("inf"):
        raise ConfigError.bad("delay", delay, "a timedelta or seconds, 0 or more")
    return seconds


def short(value: object, limit: int = 60) -> str:
    """Return a repr that fits an error message, whatever the value does."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  a value's own repr may raise anything
        text = f"<{type(value).__name__}>"
    return short_text(text, limit)


def short_text(text: str, limit: int) -> str:
    """Return text, cut off where it would be too long for a message."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
