"""Retention: what a keep rule says about one finishing job; pure."""

from __future__ import annotations

from typing import NamedTuple

from pgqueue.types import Keep, KeepJobs, seconds


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
