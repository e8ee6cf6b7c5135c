"""What becomes of a job whose handler has returned or raised; pure."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from pgqueue import payload
from pgqueue.backoff import LONGEST, delay_before_retry
from pgqueue.errors import (
    PayloadError,
    RateLimited,
    RetryLater,
    Unrecoverable,
    WaitForChildren,
)

if TYPE_CHECKING:
    from pgqueue.types import JsonValue
    from pgqueue.worker.active_job import ActiveJob

MAX_REASON: Final = 8 * 1024
MAX_STACK: Final = 32 * 1024

Ending: TypeAlias = Literal[
    "completed", "failed", "retry", "later", "released", "limited", "children"
]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run ended.

    Attributes:
        ending: completed; failed for good; retry: failed, runs again; later: the
            handler asked for another run; released: it did not run; limited: nor
            does anything of its queue for `delay`; children: it runs
            again once its children have settled.
        result: what the handler returned, and the same as JSON.
        reason: why it failed, bounded and storable.
        delay: seconds until the next run.
        interrupted: the run was cut off, which counts as a stall.
        hold: seconds for which nothing of the queue may start.
        strategy: the name of the worker's strategy that says the delay.
    """

    ending: Ending
    result: JsonValue = None
    encoded: str = "null"
    reason: str | None = None
    stack: str | None = None
    delay: float = 0.0
    error: BaseException | None = None
    interrupted: bool = False
    hold: float = 0.0
    strategy: str | None = None


COMPLETED: Final = Outcome("completed")
RELEASED: Final = Outcome("released")
CHILDREN: Final = Outcome("children")
CANCELLED: Final = Outcome("failed", reason="cancelled")
"""What a run comes to that was cancelled, whatever its handler made of it."""


class TimedOut(Exception):
    """A run took longer than the job's timeout."""


class RemoteError(Exception):
    """What a handler raised in a child process, with its type and traceback there."""

    def __init__(self, reason: str, stack: str | None, kind: str) -> None:
        super().__init__(reason)
        self.stack = stack or ""
        self.kind = kind


class Expired(Unrecoverable):
    """A job was claimed after the instant until which it may start."""


class BadResult(Exception):
    """A handler returned what cannot be stored; running it again would not help."""


def completed(job: ActiveJob, result: JsonValue) -> Outcome:
    """Return the outcome of a handler that returned; a bad value fails the job."""
    if result is None:
        return COMPLETED
    try:
        return Outcome(
            "completed", result, payload.encode(result, f"result of job {job.id}")
        )
    except PayloadError as error:
        return failed(job, BadResult(str(error)))


def failed(job: ActiveJob, error: BaseException) -> Outcome:
    """Return the outcome of a handler that raised."""
    if isinstance(error, RetryLater):
        return Outcome(
            "later", reason=describe(error), delay=asked_delay(error), error=error
        )
    if isinstance(error, RateLimited):
        return Outcome("limited", hold=asked_delay(error), error=error)
    if isinstance(error, WaitForChildren):
        return CHILDREN
    reason, stack = describe(error), format_stack(error)
    final = isinstance(error, (Unrecoverable, BadResult))
    if final or job.attempt >= job.attempts:
        return Outcome("failed", reason=reason, stack=stack, error=error)
    rule = job.options.backoff
    # A strategy by name is the worker's own function: it is asked when this is settled.
    strategy = rule if isinstance(rule, str) else None
    delay = 0.0 if isinstance(rule, str) else delay_before_retry(rule, job.attempt)
    return Outcome(
        "retry",
        reason=reason,
        stack=stack,
        delay=delay,
        error=error,
        strategy=strategy,
    )


def asked_delay(error: BaseException) -> float:
    """Return the delay of a signal; a subclass may have set anything, or nothing."""
    delay = getattr(error, "delay", 0.0)
    return min(float(delay), LONGEST) if isinstance(delay, (int, float)) else 0.0


def interrupted(job: ActiveJob, max_stalled: int) -> Outcome:
    """Return the outcome of a run that was cut off because the worker stops.

    As after a crash the attempt is not used up, and the stall is counted.
    """
    if job.stalled >= max_stalled:
        return Outcome("failed", reason=STALLED, interrupted=True)
    return Outcome("released", interrupted=True)


def unwritable(job: ActiveJob, error: BaseException) -> Outcome:
    """Return the outcome of a run whose own outcome the database refused."""
    # The first line: the others show the row, whatever is in it.
    why = describe(error).partition("\n")[0]
    reason = f"the outcome of job {job.id} cannot be stored: {why}"
    return Outcome("failed", reason=payload.clean_text(reason, MAX_REASON), error=error)


STALLED: Final = "stalled more often than max_stalled allows"


def describe(error: BaseException) -> str:
    """Return the text of an exception, whatever its `__str__` does.

    The type goes before a text that would say nothing without it: `KeyError: 'n'`.
    """
    try:
        text = str(error)
        if not explains_itself(error, text):
            text = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return payload.clean_text(text, MAX_REASON)
    except BaseException:  # noqa: BLE001  it is the handler's code that runs here
        return f"{type(error).__name__} (its text cannot be had: __str__ raised)"


def explains_itself(error: BaseException, text: str) -> bool:
    """Whether the text of an exception tells something without the type."""
    if not isinstance(error, Exception) or type(error).__str__ is KeyError.__str__:
        # What follows sys.exit, and the key alone.
        return False
    return any(character.isalpha() for character in text)


def remote(error: BaseException | None) -> RemoteError | None:
    """Return what was raised in a child process, if that is the cause."""
    cause = error.__cause__ if error is not None else None
    return next((e for e in (error, cause) if isinstance(e, RemoteError)), None)


def headline(error: BaseException | None, reason: str) -> str:
    """Return `Type: text`, the first line of it, for the log."""
    # The other lines of PostgreSQL's errors show the row, data and all.
    line = reason.partition("\n")[0]
    if error is None:
        return line
    there = remote(error)
    kind = type(error).__name__ if there is None else there.kind
    return line if line.startswith(kind) else f"{kind}: {line}"


def format_stack(error: BaseException) -> str:
    """Return the traceback, bounded; without locals, so without secrets in them."""
    if (there := remote(error)) is not None:
        return there.stack
    try:
        lines = traceback.format_exception(error, limit=-50)
    except BaseException:  # noqa: BLE001  formatting calls the exception's own code
        lines = [f"{type(error).__name__} (its traceback cannot be had)"]
    text = "".join(lines)
    if len(text) > MAX_STACK:
        # The end says where it happened.
        text = "…" + text[-MAX_STACK + 1 :]
    return payload.clean_text(text, MAX_STACK)
