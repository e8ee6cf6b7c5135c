"""The options that make a job another's child, checked; pure."""

from __future__ import annotations

from typing import Final

from pgqueue import payload
from pgqueue.errors import ConfigError
from pgqueue.types import Job, JsonValue, NewJob

POLICIES: Final = ("fail", "continue", "ignore", "remove")
MAX_ID: Final = 2**63 - 1
MAX_NAME: Final = 255


def encode_parent(job: NewJob) -> dict[str, JsonValue]:
    """Return a job's parent and policy, as `pgqueue.add_jobs` takes them.

    Raises:
        ConfigError: they are none, or the job is deduplicated.
    """
    policy, parent = job.on_child_failure, job.parent
    check_policy(policy)
    if parent is None:
        if policy != "fail":
            raise ConfigError.bad("on_child_failure", policy, "a parent beside it")
        return {}
    if job.dedup is not None:
        # The job that stands may be another parent's, or nobody's.
        raise ConfigError.bad("dedup", job.dedup, "no parent beside it")
    queue, job_id = place_of(parent)
    return {"parent": {"queue": queue, "id": job_id}, "on_child_failure": policy}


def place_of(parent: object) -> tuple[str, int]:
    """Return the queue and the id of a parent, or raise `ConfigError`."""
    if isinstance(parent, Job):
        return parent.queue, parent.id
    match parent:
        case (str(queue), int(job_id)) if (
            1 <= job_id <= MAX_ID
            and 1 <= len(queue) <= MAX_NAME
            and payload.clean_text(queue, MAX_NAME) == queue
        ):
            return queue, job_id
    raise ConfigError.bad("parent", parent, "a Job, or (queue name, job id)")


def check_policy(policy: object) -> None:
    """Raise unless *policy* says what a child's failure does to its parent."""
    if policy not in POLICIES:
        allowed = f"one of {', '.join(POLICIES)}"
        raise ConfigError.bad("on_child_failure", policy, allowed)
