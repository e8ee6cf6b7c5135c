"""Operations that add any number of jobs: a list or a stream, in chunks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from pgqueue.errors import ConfigError
from pgqueue.ops import jobs
from pgqueue.ops.core import Atomic, Op
from pgqueue.options import encode_job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgqueue.types import Job, NewJob

BULK_ROWS: Final = 2000
BULK_BYTES: Final = 4 * 1024 * 1024


def bulk(
    queue: str,
    new_jobs: Iterable[NewJob],
    limit: int,
    *,
    atomic: bool,
    count_only: bool,
    borrowed: bool,
) -> Op[list[Job] | int] | Atomic[list[Job] | int]:
    """Return the operation behind `add_bulk`.

    A list is checked before anything is sent. A generator can be read only once, as its
    jobs are sent: in a caller's transaction it takes a savepoint, because it may turn
    out bad when a part was sent already.
    """
    whole = is_list(new_jobs)
    parts: Iterable[Chunk] = chunks(new_jobs, limit)
    if whole:
        parts = list(parts)
    make = add_stream if count_only else add_bulk
    op: Op[list[Job] | int] = make(queue, parts)
    return Atomic(op, savepoint=borrowed and not whole) if atomic else op


def is_list(new_jobs: object) -> bool:
    """Return whether all jobs of a bulk are there already.

    Raises:
        ConfigError: they are nothing to go through.
    """
    if isinstance(new_jobs, (str, bytes)) or not isinstance(new_jobs, Iterable):
        raise ConfigError.bad("jobs", new_jobs, "NewJob(name, data, …) items")
    return isinstance(new_jobs, Sequence)


Chunk: TypeAlias = "tuple[list[NewJob], list[str]]"
"""What one statement adds: the jobs, and each of them encoded."""


def chunks(new_jobs: Iterable[NewJob], limit: int) -> Iterator[Chunk]:
    """Encode jobs into chunks that bound what one statement carries.

    Raises:
        ConfigError: an option of a job is out of its range.
        PayloadError: the data of a job cannot be stored.
    """
    given: list[NewJob] = []
    elements: list[str] = []
    size = 0
    for job in new_jobs:
        element = encode_job(job, limit)
        given.append(job)
        elements.append(element)
        size += len(element)
        if len(elements) == BULK_ROWS or size >= BULK_BYTES:
            yield given, elements
            given, elements, size = [], [], 0
    if elements:
        yield given, elements


def add_bulk(queue: str, parts: Iterable[Chunk]) -> Op[list[Job]]:
    """Add any number of jobs, a chunk a statement; return a snapshot of each."""
    made: list[Job] = []
    for given, elements in parts:
        added = yield from jobs.add_encoded(queue, elements)
        for new, one in zip(given, added, strict=True):
            if one.gone:
                made.append(jobs.gone(queue, new, one))
            elif one.existing:
                found = yield from jobs.find(queue, one.id)
                made.append(found or jobs.snapshot(queue, new, one))
            else:
                made.append(jobs.snapshot(queue, new, one))
    return made


def add_stream(queue: str, parts: Iterable[Chunk]) -> Op[int]:
    """Add any number of jobs without keeping them; return how many were new."""
    count = 0
    for _, elements in parts:
        added = yield from jobs.add_encoded(queue, elements)
        count += sum(not one.existing for one in added)
    return count
