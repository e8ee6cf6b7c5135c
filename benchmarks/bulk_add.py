"""`add_bulk` against bare inserts into the same two tables, and into one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from benchmarks import bare
from benchmarks.lab import QUEUE, alternate, compare, connect, reset, timed
from pgqueue import NewJob, Queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.lab import Lab, Report, Run

JOBS: Final = 100_000
BOUND: Final = 0.6

DATA: Final = {"n": 10_000, "text": "x" * 170}
"""200 bytes of JSON."""


def run(lab: Lab) -> Iterator[Report]:
    """Compare adding many jobs at once."""
    jobs = lab.jobs(JOBS)
    new = [NewJob("noop", DATA) for _ in range(jobs)]
    encoded = [json.dumps(DATA)] * jobs
    with connect(lab.dsn) as connection, Queue(QUEUE, dsn=lab.dsn) as queue:
        connection.execute(bare.SINGLE_TABLE, prepare=False)
        queue.count()

        def with_pgqueue() -> Run:
            reset(connection)
            return timed(connection, jobs, lambda: queue.add_bulk(new))

        def in_chunks() -> Run:
            reset(connection)
            return timed(
                connection,
                jobs,
                lambda: queue.add_bulk(new, atomic=False, count_only=True),
            )

        def with_sql() -> Run:
            queue_id = reset(connection)
            return timed(
                connection, jobs, lambda: bare.add(connection, queue_id, encoded)
            )

        def into_one_table() -> Run:
            connection.execute("TRUNCATE single_job")
            queue_id = reset(connection)
            return timed(
                connection,
                jobs,
                lambda: bare.add(connection, queue_id, encoded, bare.ADD_SINGLE),
            )

        runs = alternate(
            lab.rounds,
            {
                "pgqueue": with_pgqueue,
                "bare": with_sql,
                "count_only": in_chunks,
                "single_table": into_one_table,
            },
        )
    yield compare("bulk_add", runs, "pgqueue", "bare", BOUND)
    yield compare("bulk_add.count_only", runs, "count_only", "bare")
    yield compare("bulk_add.single_table", runs, "pgqueue", "single_table")
