"""What passes between the layers: states, what was asked for, and snapshots of jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, TypeAlias, overload

from pgqueue.errors import ConfigError

JsonValue: TypeAlias = Any
"""Job data, results and progress: whatever JSON can say."""

Duration: TypeAlias = timedelta | float
"""A `timedelta`, or seconds."""


class JobState(StrEnum):
    """Where a job stands; *paused* is a property of its queue, not a state."""

    WAITING = "waiting"
    DELAYED = "delayed"
    ACTIVE = "active"
    WAITING_CHILDREN = "waiting_children"
    COMPLETED = "completed"
    FAILED = "failed"


CleanState: TypeAlias = Literal[
    "waiting", "prioritized", "paused", "delayed", "active", "completed", "failed"
]
"""What `clean` takes; waiting_children is not cleanable."""


FinishedState: TypeAlias = Literal["completed", "failed"]
"""What can be retried."""


@dataclass(frozen=True, slots=True)
class KeepJobs:
    """How long finished jobs are kept; a kept job satisfies both bounds given.

    Attributes:
        age: seconds or a `timedelta` since the job finished.
        count: how many of the state's newest jobs the queue keeps.
    """

    age: Duration | None = None
    count: int | None = None


Keep: TypeAlias = bool | int | KeepJobs
"""`True` removes at once, `False` keeps for ever, a number keeps that many."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """The delay before a retry, by the number of attempts made.

    Attributes:
        kind: `fixed` or `exponential`.
        delay: seconds before the first retry.
        max: the longest delay in seconds, if there is a limit.
        jitter: share of the delay that is random, 0 to 1: `d` becomes a value in
            `[d * (1 - jitter), d]`.
    """

    kind: Literal["fixed", "exponential"]
    delay: float
    max: float | None = None
    jitter: float = 0.0

    @classmethod
    def fixed(cls, delay: Duration, *, jitter: float = 0.0) -> Backoff:
        """Wait the same time before every retry."""
        return cls("fixed", seconds(delay), None, jitter)

    @classmethod
    def exponential(
        cls,
        delay: Duration,
        *,
        max: Duration | None = None,  # noqa: A002  the word of the field
        jitter: float = 0.0,
    ) -> Backoff:
        """Double the wait with every retry, from *delay* up to *max*."""
        limit = None if max is None else seconds(max)
        return cls("exponential", seconds(delay), limit, jitter)


OnChildFailure: TypeAlias = Literal["fail", "continue", "ignore", "remove"]
"""What a child's final failure does to its parent."""


@dataclass(frozen=True, slots=True)
class Dedup:
    """Let one job stand for all that are added with the same id.

    By default the id is taken until the job has finished. An add that is ignored
    returns the job that stands. A `key` beside it counts first: while the queue has a
    job with that key, that job is returned, and the id stays as it is.

    Attributes:
        id: 1 to 255 characters.
        ttl: the id is taken for this long from the add, finished or not (throttle).
        replace: a job that stands *delayed* is replaced by the newer one (debounce).
        extend: each ignored add starts the `ttl` anew.
        keep_last_if_active: while the job runs the latest add is kept back, and added
            when it has finished.
    """

    id: str
    ttl: Duration | None = field(default=None, kw_only=True)
    replace: bool = field(default=False, kw_only=True)
    extend: bool = field(default=False, kw_only=True)
    keep_last_if_active: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class NewJob:
    """One job to be added by `add_bulk`; the fields are the keywords of `Queue.add`."""

    name: str
    data: JsonValue = None
    _: KW_ONLY
    delay: Duration | None = None
    run_at: datetime | None = None
    priority: int = 0
    lifo: bool = False
    attempts: int = 1
    backoff: Backoff | Duration | str | None = None
    timeout: Duration | None = None
    expires: Duration | datetime | None = None
    key: str | None = None
    group: str | None = None
    dedup: Dedup | None = None
    parent: Job | tuple[str, int] | None = None
    on_child_failure: OnChildFailure = "fail"
    remove_on_complete: Keep | None = None
    remove_on_fail: Keep | None = None
    keep_logs: int | None = None
    stack_limit: int | None = None
    size_limit: int | None = None
    headers: Mapping[str, str] | None = None
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class FlowNode:
    """One job of a flow, in its queue, with the children it waits for.

    Attributes:
        queue: the name of its queue.
        children: the jobs that must settle before this one runs.
        on_child_failure: what this job's final failure does to its parent: fail it,
            let it continue at once, be ignored, or be removed without a trace.
    """

    name: str
    data: JsonValue = None
    _: KW_ONLY
    queue: str
    children: Sequence[FlowNode] = ()
    on_child_failure: OnChildFailure = "fail"
    delay: Duration | None = None
    run_at: datetime | None = None
    priority: int = 0
    lifo: bool = False
    attempts: int = 1
    backoff: Backoff | Duration | str | None = None
    timeout: Duration | None = None
    expires: Duration | datetime | None = None
    key: str | None = None
    group: str | None = None
    dedup: Dedup | None = None
    remove_on_complete: Keep | None = None
    remove_on_fail: Keep | None = None
    keep_logs: int | None = None
    stack_limit: int | None = None
    size_limit: int | None = None
    headers: Mapping[str, str] | None = None
    tags: Sequence[str] = ()

    def job(self) -> NewJob:
        """Return the node without its place in the flow."""
        place = ("parent", "on_child_failure")
        return NewJob(
            **{
                each.name: getattr(self, each.name)
                for each in fields(NewJob)
                if each.name not in place
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it was when it was read; acting on it is the queue's business.

    Instants are aware and come from the database's clock. `attempt` counts the runs
    that were made (or are under way); `attempts` is the limit. `error` is the reason
    of the last failure, `result` what the handler returned. `schedule` is the key of
    the schedule that made it, for its occurrence at `scheduled_at`.
    """

    id: int
    queue: str
    name: str
    data: JsonValue
    state: JobState
    created_at: datetime
    priority: int = 0
    attempt: int = 0
    attempts: int = 1
    stalled: int = 0
    run_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: JsonValue = None
    result: JsonValue = None
    error: str | None = None
    key: str | None = None
    group: str | None = None
    worker: str | None = None
    parent_id: int | None = None
    schedule: str | None = None
    scheduled_at: datetime | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    expires: datetime | None = None
    backoff: Backoff | str | None = None
    timeout: float | None = None
    remove_on_complete: Keep | None = None
    remove_on_fail: Keep | None = None

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the fields as plain values; instants as ISO 8601 text."""
        plain: dict[str, JsonValue] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, datetime):
                value = value.isoformat()
            elif isinstance(value, (Backoff, KeepJobs)):
                value = {f.name: getattr(value, f.name) for f in fields(value)}
            elif each.name == "headers":
                value = dict(value)
            elif each.name == "tags":
                value = list(value)
            plain[each.name] = value
        return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a job or a queue, as a follower reads it.

    Attributes:
        id: of the event; 0 for `lost`, which says that older events were removed
            before this consumer had read them.
        at: when, by the database's clock.
        job_id: None if it is about the queue.
        name: `added`, `waiting`, `completed` …
        data: what belongs to it, as `{"result": …}`; None for most.
    """

    id: int
    at: datetime
    queue: str
    job_id: int | None
    name: str
    data: JsonValue = None

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the fields as plain values; the instant as ISO 8601 text."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        return plain | {"at": self.at.isoformat()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One failed run of a job; `stack` is bounded and has no values of variables."""

    attempt: int
    finished_at: datetime
    error: str
    started_at: datetime | None = None
    stack: str | None = None
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a job's log; `id` is passed as `after=` to go on behind it."""

    id: int
    at: datetime
    line: str


@dataclass(frozen=True, slots=True)
class FlowJob:
    """A job of a flow with its children, as snapshots."""

    job: Job
    children: tuple[FlowJob, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many jobs stand where; `prioritized` are the waiting with a priority."""

    waiting: int = 0
    prioritized: int = 0
    delayed: int = 0
    active: int = 0
    waiting_children: int = 0
    completed: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """All jobs of the queue."""
        return sum(getattr(self, each.name) for each in fields(self))


@dataclass(frozen=True, slots=True)
class Page(Sequence[Job]):
    """One page of a listing; `cursor` is passed as `after=` for the next one.

    `cursor` is None on the last page.
    """

    items: tuple[Job, ...]
    cursor: str | None = None

    @overload
    def __getitem__(self, index: int) -> Job: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Job]: ...
    def __getitem__(self, index: int | slice) -> Job | Sequence[Job]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a queue as a whole may do, whatever number of workers it has.

    Attributes:
        concurrency: how many of its jobs may be active at once; None: any number.
        max: how many may start in any window of `per` seconds; None: any number.
        per: the length of that window.
        limited_until: no job starts before; None: now.
    """

    concurrency: int | None = None
    max: int | None = None
    per: float | None = None
    limited_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueInfo:
    """One line of `pgqueue queue ls`."""

    name: str
    paused: bool
    counts: Counts


def seconds(duration: object) -> float:
    """Return a duration as seconds.

    Raises:
        ConfigError: it is none; text is not read here.
    """
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, (int, float)) and not isinstance(duration, bool):
        with suppress(OverflowError):
            return float(duration)
    raise ConfigError.bad("duration", duration, "a timedelta or seconds")
