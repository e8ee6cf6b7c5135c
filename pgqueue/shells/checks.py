"""Arguments of the queues' methods, checked before any I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypedDict

from pgqueue import options
from pgqueue.cron import Rule, check_rule
from pgqueue.errors import ConfigError
from pgqueue.ops import jobs as job_ops
from pgqueue.ops import queues as queue_ops
from pgqueue.ops.control import FINISHED
from pgqueue.types import Job

if TYPE_CHECKING:
    from datetime import datetime

    from pgqueue.cron import Missed
    from pgqueue.types import Duration


class RetryAll(TypedDict):
    """Which jobs `retry_all` means."""

    state: str
    before: datetime | None
    name: str | None
    limit: int | None


STATES: Final = tuple(job_ops.LISTS)
PAGE: Final = 100


def check_states(states: str | Sequence[str] | None) -> list[str]:
    """Return the states to list, in the order in which they are listed.

    Raises:
        ConfigError: one of them is not a state.
    """
    if states is not None and not isinstance(states, (str, Sequence)):
        raise ConfigError.bad("states", states, f"any of {', '.join(STATES)}")
    asked = [states] if isinstance(states, str) else list(states or STATES)
    for state in asked:
        if state not in STATES:
            raise ConfigError.bad("states", str(state), f"any of {', '.join(STATES)}")
    return [state for state in STATES if state in asked]


def check_clean(grace: Duration, limit: int, state: str) -> tuple[float, int, str]:
    """Return the checked arguments of `clean`.

    Raises:
        ConfigError: one of them is out of range.
    """
    cleanable = queue_ops.CLEANABLE
    if state not in cleanable:
        raise ConfigError.bad("state", str(state), f"one of {', '.join(cleanable)}")
    return (
        options.check_duration("grace", grace),
        options.check_int("limit", limit, 0, 2**53),
        str(state),
    )


def check_id(job_id: object) -> int:
    """Return a job id, or raise `ConfigError`."""
    if isinstance(job_id, Job):
        raise ConfigError.bad("job_id", job_id, f"its id: {job_id.id}")
    return options.check_int("job_id", job_id, 1, 2**63 - 1)


def check_timeout(timeout: Duration | None) -> float | None:
    """Return a timeout in seconds; None is none."""
    return None if timeout is None else options.check_duration("timeout", timeout)


def check_range(start: int, end: int | None, limit: int | None) -> tuple[int, int]:
    """Return how many jobs to skip and how many to return at most."""
    skip = options.check_int("start", start, 0, 2**53)
    if end is None:
        most = PAGE if limit is None else options.check_int("limit", limit, 1, 10_000)
        return skip, most
    if limit is not None:
        raise ConfigError.bad("limit", limit, "no end beside it")
    if end == -1:
        return skip, 2**53
    return skip, options.check_int("end", end, start, 2**53) - start + 1


def check_schedule(
    key: str,
    *,
    cron: str | None,
    every: Duration | None,
    tz: str | None,
    start: datetime | None,
    end: datetime | None,
    limit: int | None,
    offset: Duration | None,
    immediately: bool,
    missed: Missed,
) -> Rule:
    """Return the rule of a schedule.

    Raises:
        ConfigError: the key or a part of the rule is not valid.
    """
    options.check_name(key, "key")
    if immediately not in (True, False):
        raise ConfigError.bad("immediately", immediately, "True or False")
    rule = Rule(
        cron=cron,
        every=None if every is None else options.check_duration("every", every),
        tz=None if tz is None else options.check_name(tz, "tz"),
        start=None if start is None else options.check_instant("start", start),
        end=None if end is None else options.check_instant("end", end),
        limit=None if limit is None else options.check_int("limit", limit, 1, 2**53),
        offset=None if offset is None else options.check_duration("offset", offset),
        immediately=immediately,
        missed=missed,
    )
    return check_rule(rule)


def check_retry(
    state: str, before: datetime | None, name: str | None, limit: int | None
) -> RetryAll:
    """Return the checked arguments of `retry_all`.

    Raises:
        ConfigError: one of them is out of range.
    """
    if state not in FINISHED:
        raise ConfigError.bad("state", str(state), f"one of {', '.join(FINISHED)}")
    return {
        "state": str(state),
        "before": None if before is None else options.check_instant("before", before),
        "name": None if name is None else options.check_name(name),
        "limit": None if limit is None else options.check_int("limit", limit, 1, 2**53),
    }
