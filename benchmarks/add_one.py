"""One `add` after the other against one-row commits."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from benchmarks import bare
from benchmarks.bulk_add import DATA
from benchmarks.lab import QUEUE, alternate, compare, connect, percentiles, reset, timed
from pgqueue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.lab import Lab, Report, Run

JOBS: Final = 2000


def run(lab: Lab) -> Iterator[Report]:
    """Compare adding jobs one by one, each durable before the next."""
    jobs = lab.jobs(JOBS)
    encoded = json.dumps(DATA)
    times: dict[str, list[float]] = {"pgqueue": [], "bare": []}
    with connect(lab.dsn) as connection, Queue(QUEUE, dsn=lab.dsn) as queue:
        queue.count()

        def repeat(side: str, add: Callable[[], object]) -> None:
            for _ in range(jobs):
                began = time.perf_counter()
                add()
                times[side].append(time.perf_counter() - began)

        def with_pgqueue() -> Run:
            reset(connection)
            return timed(
                connection,
                jobs,
                lambda: repeat("pgqueue", lambda: queue.add("noop", DATA)),
            )

        def with_sql() -> Run:
            params = {"queue_id": reset(connection), "name": "noop", "data": encoded}
            return timed(
                connection,
                jobs,
                lambda: repeat(
                    "bare",
                    lambda: connection.execute(bare.ADD_ONE, params).fetchone(),
                ),
            )

        runs = alternate(
            max(5, lab.rounds), {"pgqueue": with_pgqueue, "bare": with_sql}
        )
    report = compare("add_one", runs, "pgqueue", "bare")
    report.figures |= {
        f"{side}_latency": percentiles(samples) for side, samples in times.items()
    }
    yield report
