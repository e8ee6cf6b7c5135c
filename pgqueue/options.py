"""Job options: checked before any I/O, and written into a job's body; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, cast

from pgqueue import payload
from pgqueue.errors import ConfigError
from pgqueue.parents import encode_parent
from pgqueue.stored import KINDS, LONGEST, MAX_COUNT, number
from pgqueue.types import (
    Backoff,
    Dedup,
    Duration,
    JsonValue,
    Keep,
    KeepJobs,
    NewJob,
    seconds,
)

MAX_NAME: Final = 255
MAX_PRIORITY: Final = 2_097_151
MAX_ATTEMPTS: Final = 2**31 - 1
MAX_SIZE: Final = 2**30
INSTANTS: Final = range(1970, 9999)
"""The years that a job may wait for: PostgreSQL's and Python's calendars have both."""

NUMERIC: Final = frozenset("0123456789+-.")
"""What a number may begin with, and the name of a backoff strategy may not."""

DURATION: Final = "a timedelta or seconds, from 0 to 100 years"
KEEP: Final = "True, False, a number of jobs (0 or more), or KeepJobs(age=, count=)"


def check_name(value: object, what: str = "name") -> str:
    """Return a queue or job name or a key: 1 to 255 characters that can be stored."""
    allowed = f"text of 1 to {MAX_NAME} characters, without NUL or lone surrogates"
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME:
        raise ConfigError.bad(what, value, allowed)
    if payload.clean_text(value, MAX_NAME) != value:
        raise ConfigError.bad(what, value, allowed)
    return value


def check_duration(option: str, value: object, *, positive: bool = False) -> float:
    """Return a duration in seconds; it is not negative, not NaN, not infinite."""
    allowed = DURATION.replace("from 0", "more than 0, up") if positive else DURATION
    try:
        length = seconds(value)
    except ConfigError:
        raise ConfigError.bad(option, value, allowed) from None
    if not 0 <= length <= LONGEST or (positive and length == 0):
        raise ConfigError.bad(option, value, allowed)
    return length


def check_int(option: str, value: object, low: int, high: int) -> int:
    """Return a whole number within its range; `True` is not a number here."""
    if type(value) is not int or not low <= value <= high:
        raise ConfigError.bad(option, value, f"a whole number from {low} to {high}")
    return value


def check_flag(option: str, value: object) -> bool:
    """Return a bool; `"no"` and 1 are none."""
    if value is not True and value is not False:
        raise ConfigError.bad(option, value, "True or False")
    return value


def check_keep(option: str, value: object) -> None:
    """Raise unless *value* is a keep rule."""
    if isinstance(value, KeepJobs):
        if value.age is not None:
            check_duration(f"{option}.age", value.age)
        if value.count is not None:
            check_int(f"{option}.count", value.count, 0, MAX_COUNT)
    elif not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise ConfigError.bad(option, value, KEEP)


def check_backoff(value: object) -> Backoff | str:
    """Return a backoff: a duration is a fixed one, a text names a worker's strategy."""
    if isinstance(value, str):
        if value in KINDS or value[:1] in NUMERIC:
            allowed = "Backoff.fixed(…), Backoff.exponential(…), seconds, a timedelta"
            raise ConfigError.bad("backoff", value, allowed)
        return check_name(value, "backoff")
    if not isinstance(value, Backoff):
        if isinstance(value, (int, float, timedelta)) and not isinstance(value, bool):
            return Backoff.fixed(check_duration("backoff", value))
        raise ConfigError.bad(
            "backoff",
            value,
            "Backoff.fixed(…), Backoff.exponential(…), a duration, or the name of a "
            "strategy of the worker",
        )
    if value.kind not in KINDS:
        raise ConfigError.bad("backoff.kind", value.kind, " or ".join(KINDS))
    check_duration("backoff.delay", value.delay)
    if value.max is not None:
        check_duration("backoff.max", value.max)
    if number(value.jitter) is None or value.jitter > 1:
        raise ConfigError.bad("backoff.jitter", value.jitter, "a number from 0 to 1")
    return value


def check_instant(option: str, value: object) -> datetime:
    """Return an instant: a `datetime` that knows its zone."""
    aware = isinstance(value, datetime) and value.utcoffset() is not None
    if not aware or cast("datetime", value).year not in INSTANTS:
        allowed = f"an aware datetime, {INSTANTS[0]} to {INSTANTS[-1]}"
        raise ConfigError.bad(option, value, allowed)
    return cast("datetime", value)


def encode_job(job: NewJob, limit: int = payload.MAX_BYTES) -> str:
    """Return one element of what `pgqueue.add_jobs` takes.

    Args:
        limit: the largest data, in bytes of JSON, of a job that does not say.

    Raises:
        ConfigError: an option is out of its range.
        PayloadError: the data cannot be stored.
    """
    if not isinstance(job, NewJob):
        raise ConfigError.bad("jobs", job, "NewJob(name, data, …) items")
    if job.size_limit is not None:
        limit = check_int("size_limit", job.size_limit, 1, MAX_SIZE)
    name = json.dumps(check_name(job.name))
    data = payload.encode(job.data, f"data of job {job.name!r}", limit)
    asked = asked_options(job)
    if not asked:
        return f'{{"name":{name},"data":{data}}}'
    return f'{{"name":{name},"data":{data},{json.dumps(asked)[1:-1]}}}'


def asked_options(job: NewJob) -> dict[str, JsonValue]:
    """Return the options that differ from their defaults, checked."""
    asked: dict[str, JsonValue] = {}
    if job.delay is not None:
        asked["delay"] = check_duration("delay", job.delay)
    if job.run_at is not None:
        if job.delay is not None:
            raise ConfigError.bad("run_at", job.run_at, "no delay beside it")
        asked["run_at"] = check_instant("run_at", job.run_at).isoformat()
    if job.priority != 0 or job.priority is False:
        asked["priority"] = check_int("priority", job.priority, 0, MAX_PRIORITY)
    if job.lifo is not False:
        asked["lifo"] = check_flag("lifo", job.lifo)
    if job.attempts != 1 or job.attempts is True:
        asked["attempts"] = check_int("attempts", job.attempts, 1, MAX_ATTEMPTS)
    if job.key is not None:
        asked["key"] = check_name(job.key, "key")
    if job.group is not None:
        asked["group"] = check_name(job.group, "group")
    if job.dedup is not None:
        asked["dedup"] = encode_dedup(job)
    asked |= encode_parent(job)
    if stored := stored_options(job):
        asked["options"] = stored
    return asked


def stored_options(job: NewJob) -> dict[str, JsonValue]:
    """Return the options that the body keeps as JSON, checked."""
    stored: dict[str, JsonValue] = {}
    if job.backoff is not None:
        stored["backoff"] = encode_backoff(check_backoff(job.backoff))
    if job.timeout is not None:
        stored["timeout"] = check_duration("timeout", job.timeout, positive=True)
    if job.expires is not None:
        stored["expires"] = encode_expires(job.expires)
        check_can_start(job)
    if job.dedup is not None:
        stored["dedup"] = True
    if job.keep_logs is not None:
        stored["keep_logs"] = check_int("keep_logs", job.keep_logs, 0, MAX_COUNT)
    if job.stack_limit is not None:
        stored["stack_limit"] = check_int("stack_limit", job.stack_limit, 0, MAX_COUNT)
    if job.headers:
        stored["headers"] = check_headers(job.headers)
    if job.tags:
        stored["tags"] = check_tags(job.tags)
    for option in ("remove_on_complete", "remove_on_fail"):
        keep = getattr(job, option)
        if keep is not None:
            check_keep(option, keep)
            stored[option] = encode_keep(keep)
    return stored


def encode_backoff(rule: Backoff | str) -> JsonValue:
    """Return a backoff as JSON: an object, or the name of a strategy."""
    if isinstance(rule, str):
        return rule
    encoded: dict[str, JsonValue] = {"type": rule.kind, "delay": rule.delay}
    if rule.max is not None:
        encoded["max"] = seconds(rule.max)
    if rule.jitter:
        encoded["jitter"] = rule.jitter
    return encoded


def encode_expires(expires: Duration | datetime) -> JsonValue:
    """Return when a job is not to be started any more: seconds from the add, or when."""
    if isinstance(expires, datetime):
        return check_instant("expires", expires).isoformat()
    return check_duration("expires", expires, positive=True)


def check_can_start(job: NewJob) -> None:
    """Raise if a job would expire before it is due; a client's clock is not asked."""
    if isinstance(job.expires, datetime):
        never = job.run_at is not None and job.expires <= job.run_at
        due = f"run_at={job.run_at}"
    else:
        never = job.delay is not None and seconds(job.expires) <= seconds(job.delay)
        due = f"delay={job.delay!r}"
    if never:
        raise ConfigError.bad("expires", job.expires, f"more than {due}")


def encode_dedup(job: NewJob) -> JsonValue:
    """Return a deduplication rule as JSON.

    Raises:
        ConfigError: the rule is none, or contradicts itself.
    """
    rule = job.dedup
    if not isinstance(rule, Dedup):
        raise ConfigError.bad("dedup", rule, "Dedup(id, ttl=, replace=, extend=, …)")
    encoded: dict[str, JsonValue] = {"id": check_name(rule.id, "dedup.id")}
    if rule.ttl is not None:
        encoded["ttl"] = check_duration("dedup.ttl", rule.ttl, positive=True)
    elif rule.extend:
        raise ConfigError.bad("dedup.extend", rule.extend, "a ttl beside it")
    if rule.keep_last_if_active and rule.ttl is not None:
        raise ConfigError.bad("dedup.ttl", rule.ttl, "no keep_last_if_active beside it")
    for option in ("replace", "extend", "keep_last_if_active"):
        if getattr(rule, option):
            encoded[option] = True
    return encoded


def check_headers(headers: object) -> dict[str, str]:
    """Return headers: texts by name, such as a trace context."""
    allowed = "a mapping of texts to texts"
    if not isinstance(headers, Mapping):
        raise ConfigError.bad("headers", headers, allowed)
    for name, value in headers.items():
        check_name(name, "header")
        if not isinstance(value, str) or payload.clean_text(value, 8192) != value:
            raise ConfigError.bad(f"headers[{name!r}]", value, allowed)
    return dict(headers)


def check_tags(tags: object) -> list[str]:
    """Return tags: a sequence of names."""
    if isinstance(tags, (str, bytes)) or not isinstance(tags, Sequence):
        raise ConfigError.bad("tags", tags, "a sequence of texts")
    return [check_name(tag, "tag") for tag in tags]


def encode_keep(keep: Keep) -> JsonValue:
    """Return a keep rule as JSON: a boolean, a number, or `{"age", "count"}`."""
    if not isinstance(keep, KeepJobs):
        return keep
    rule: dict[str, JsonValue] = {}
    if keep.age is not None:
        rule["age"] = seconds(keep.age)
    if keep.count is not None:
        rule["count"] = keep.count
    return rule
