"""Retention: what a keep rule says about one finishing job; pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from pgqueue.types import Keep, KeepJobs, seconds


class Unchanged(Enum):
    """What a setting is given that is to stay as it is."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRetention:
    """How long a queue keeps what its jobs and workers say nothing about.

    Attributes:
        completed: jobs that completed; a bound that is None is none.
        failed: jobs that failed for good.
        events: what followers have not read yet.
    """

    completed: KeepJobs
    failed: KeepJobs
    events: KeepJobs


class Retention(NamedTuple):
    """A resolved keep rule: remove now, or keep by age (seconds) and by count."""

    remove: bool
    age: float | None
    newest: int | None


def resolve(job: Keep | None, worker: Keep | None) -> Retention | None:
    """Return the rule of the job, else of the worker; None leaves it to the queue."""
    keep = job if job is not None else worker
    if keep is None:
        return None
    if isinstance(keep, KeepJobs):
        age = None if keep.age is None else seconds(keep.age)
        return Retention(keep.count == 0 or age == 0, age, keep.count)
    if keep is True:
        return Retention(True, None, None)
    if keep is False:
        return Retention(False, None, None)
    return Retention(keep == 0, None, keep)


class Bounds(NamedTuple):
    """What a queue keeps by: age (seconds) and number, or neither."""

    age: float | None = None
    newest: int | None = None


def bounds(keep: Keep | None) -> Bounds:
    """Return the bounds that a checked keep rule of a queue says."""
    if isinstance(keep, KeepJobs):
        return Bounds(None if keep.age is None else seconds(keep.age), keep.count)
    return Bounds() if keep is None or keep is False else Bounds(newest=int(keep))
