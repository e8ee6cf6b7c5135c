"""BullMQ's option dicts as pgqueue's options; pure."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from pgqueue import payload
from pgqueue.compat.bullmq.known import check_options
from pgqueue.compat.bullmq.units import check_millis, check_whole, millis
from pgqueue.compat.bullmq.unsupported import JOB_OPTIONS
from pgqueue.errors import ConfigError, PayloadError, UnsupportedConnection
from pgqueue.options import MAX_ATTEMPTS, MAX_PRIORITY
from pgqueue.stored import MAX_COUNT
from pgqueue.types import Backoff, Dedup, Keep, KeepJobs, NewJob, OnChildFailure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgqueue.types import Job

HEADER: Final = "bullmq"
"""The header of a job that keeps the options as they were given."""

PREFIX: Final = "bull"
NAMELESS: Final = "__default__"
"""The name of jobs that were added without one."""

REPEAT: Final = re.compile(r"repeat:(.+):([0-9]{1,15})", re.DOTALL)
POLICIES: Final[dict[str, OnChildFailure]] = {
    "failParentOnFailure": "fail",
    "continueParentOnFailure": "continue",
    "ignoreDependencyOnFailure": "ignore",
    "removeDependencyOnFailure": "remove",
}


def qualified_name(prefix: str | None, name: str) -> str:
    """Return what a queue is called in pgqueue."""
    return f"{PREFIX if prefix is None else prefix}:{name}"


def dsn_of(connection: object) -> str | None:
    """Return the DSN that a `connection` option says; None is pgqueue's default.

    Raises:
        ConfigError: it is the address of another kind of server.
        UnsupportedConnection: it is no DSN; BullMQ's own clients cannot be used.
    """
    if connection is None or connection == {}:
        return None
    if isinstance(connection, str):
        if connection.startswith(("redis://", "rediss://", "unix://")):
            raise ConfigError.bad("connection", "redis://…", "a PostgreSQL DSN")
        return connection
    raise UnsupportedConnection(
        connection, "a PostgreSQL DSN as text; without one PGQUEUE_DSN is used"
    )


def public_id(job: Job) -> str:
    """Return the id by which BullMQ's code knows a job."""
    due = millis(job.scheduled_at)
    return call_by(job.id, job.key, job.schedule, due)


def call_by(number: int, key: str | None, schedule: str | None, due: int | None) -> str:
    """Return the id of a job: its own one, its occurrence's, or its number."""
    if key is not None:
        return key
    if schedule is not None and due is not None:
        return f"repeat:{schedule}:{due}"
    return str(number)


def given_options(job: Job) -> dict[str, Any]:
    """Return the options that a job was added with, as BullMQ says them."""
    given: dict[str, Any] = {"attempts": job.attempts}
    if job.priority:
        given["priority"] = job.priority
    if HEADER in job.headers:
        given |= json.loads(job.headers[HEADER])
    if job.schedule is not None and job.scheduled_at is not None:
        due = millis(job.scheduled_at) or 0
        given |= {
            "jobId": public_id(job),
            "repeatJobKey": job.schedule,
            "prevMillis": due,
            "timestamp": millis(job.created_at),
            "delay": max(0, due - (millis(job.created_at) or 0)),
        }
    return given


def keep_rule(option: str, value: object) -> Keep | None:
    """Return a keep rule: a boolean, a number, or `{"age", "count"}`."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return False if value < 0 else value
    if isinstance(value, dict):
        strange = set(value) - {"age", "count", "limit"}
        if strange:
            raise ConfigError.bad(option, value, '"age", "count" and "limit"')
        if value.get("age") is None and value.get("count") is None:
            return False
        return KeepJobs(age=value.get("age"), count=value.get("count"))
    raise ConfigError.bad(option, value, 'a boolean, a number or {"age", "count"}')


def backoff_rule(value: object) -> Backoff | str | None:
    """Return a backoff: milliseconds, a built-in type, or the name of one's own."""
    if value is None or value == 0:
        return None
    if isinstance(value, dict):
        check_options("backoff", value)
        kind = value.get("type", "fixed")
        delay = check_millis("backoff.delay", value.get("delay") or 0)
        jitter = value.get("jitter") or 0.0
        if kind not in ("fixed", "exponential"):
            return str(kind)
        return Backoff(kind, delay / 1000, None, jitter) if delay else None
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Backoff.fixed(check_millis("backoff", value) / 1000)
    raise ConfigError.bad("backoff", value, 'milliseconds, or {"type", "delay"}')


def dedup_rule(value: object) -> Dedup | None:
    """Return a deduplication rule."""
    if not value:
        return None
    if not isinstance(value, dict) or "id" not in value:
        raise ConfigError.bad("deduplication", value, 'a dict with an "id"')
    check_options("deduplication", value)
    last = bool(value.get("keepLastIfActive"))
    # The id is then taken until the job has finished, as in BullMQ.
    ttl = None if last else value.get("ttl")
    return Dedup(
        value["id"],
        ttl=check_millis("deduplication.ttl", ttl) / 1000 if ttl else None,
        replace=bool(value.get("replace")),
        extend=bool(value.get("extend")) and bool(ttl),
        keep_last_if_active=last,
    )


def policy(opts: Mapping[str, Any]) -> OnChildFailure:
    """Return what a job's failure does to its parent.

    Raises:
        ValueError: more than one of the options is set.
    """
    named = [name for name in POLICIES if opts.get(name)]
    if len(named) > 1:
        raise ValueError(
            "The following options cannot be used together: " + ", ".join(named)
        )
    return POLICIES[named[0]] if named else "fail"


def check_json(value: Any) -> None:
    """Raise for NaN and infinities, in the standard library's words.

    Raises:
        PayloadError: the value has one.
    """
    try:
        json.dumps(value, allow_nan=False)
    except ValueError as error:
        if str(error).startswith("Out of range float"):
            raise PayloadError(str(error)) from None
    except TypeError:
        # What says more about it comes later.
        return


def check_size(name: str, data: Any, limit: object) -> None:
    """Raise if a job's data is larger than its own `sizeLimit` allows.

    Raises:
        ConfigError: the limit is no number of bytes.
        PayloadError: the data is larger, as UTF-8.
    """
    if not limit:
        return
    most = check_whole("sizeLimit", limit, 1, MAX_COUNT)
    payload.encode(data, f"data of job {name!r}")
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    size = len(text.encode())
    if size > most:
        raise PayloadError(
            f"the data of job {name!r} has {size} bytes, its sizeLimit is {most}"
        )


def start_fields(opts: Mapping[str, Any]) -> dict[str, Any]:
    """Return when a job is due: its delay counts from its `timestamp`, if it has one."""
    delay, since = check_millis("delay", opts.get("delay") or 0), opts.get("timestamp")
    if not delay or since is None:
        return {"delay": delay / 1000 if delay else None}
    try:
        return {"run_at": datetime.fromtimestamp((since + delay) / 1000, UTC)}
    except (TypeError, ValueError, OverflowError, OSError):
        allowed = "milliseconds since 1970"
        raise ConfigError.bad("timestamp", since, allowed) from None


def encode_options(opts: Mapping[str, Any]) -> str:
    """Return options as the header keeps them.

    Raises:
        ConfigError: they are not JSON.
    """
    try:
        return json.dumps(opts, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the job options are not JSON: {error}") from None


def job_fields(opts: Mapping[str, Any]) -> dict[str, Any]:
    """Return pgqueue's options for BullMQ's, without a parent.

    Raises:
        ConfigError: an option is not supported, or out of its range.
    """
    check_options("job", opts, JOB_OPTIONS)
    policy(opts)
    logs, stacks = opts.get("keepLogs"), opts.get("stackTraceLimit")
    attempts = check_whole("attempts", opts.get("attempts") or 0, 0, MAX_ATTEMPTS)
    if stacks is not None:
        check_whole("stackTraceLimit", stacks, 0, MAX_COUNT)
    job_id = opts.get("jobId")
    if job_id is not None and str(job_id).isdecimal():
        raise ConfigError.bad("jobId", job_id, "an id that is not only digits")
    return {
        **start_fields(opts),
        "priority": check_whole("priority", opts.get("priority") or 0, 0, MAX_PRIORITY),
        "lifo": bool(opts.get("lifo")),
        "attempts": max(1, attempts),
        "backoff": backoff_rule(opts.get("backoff")),
        "key": None if job_id is None else str(job_id),
        "dedup": dedup_rule(opts.get("deduplication")),
        "remove_on_complete": keep_rule(
            "removeOnComplete", opts.get("removeOnComplete")
        ),
        "remove_on_fail": keep_rule("removeOnFail", opts.get("removeOnFail")),
        "keep_logs": check_whole("keepLogs", logs or 0, 0, MAX_COUNT) or None,
        "stack_limit": stacks,
        "headers": {HEADER: encode_options(opts)} if opts else None,
    }


def new_job(
    name: str,
    data: Any,
    opts: Mapping[str, Any],
    parent: tuple[str, int] | None = None,
) -> NewJob:
    """Return a job as `Queue.add` takes it."""
    check_json(data)
    check_size(name, data, opts.get("sizeLimit"))
    fields = job_fields(opts)
    if parent is not None:
        fields |= {"parent": parent, "on_child_failure": policy(opts)}
    return NewJob(name or NAMELESS, data, **fields)
