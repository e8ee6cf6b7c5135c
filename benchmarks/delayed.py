"""How punctual delayed jobs start on an idle worker.

Due times are the database's; its clock is compared with the monotonic one before and
after, and the drift between the two is reported. So is how late this process itself
wakes from its pauses and has an answer from the server: what the machine allows.

Between the jobs of pgqueue, jobs of a table of its own wait for a process that does the
same in bare SQL: sleeps until the next is due, or until an earlier one rings, and then
deletes what is due.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks.child import Child, say
from benchmarks.lab import QUEUE, Report, connect, percentiles, reset, value
from benchmarks.latency import pause, times_bare
from pgqueue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.lab import Connection, Lab

SAMPLES: Final = 600
SHORTEST: Final = 0.5
LONGEST: Final = 3.0
P99: Final = 15.0

TABLE: Final = """
CREATE TABLE IF NOT EXISTS bare_delayed (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_at timestamptz NOT NULL,
    data json NOT NULL
);
CREATE INDEX IF NOT EXISTS bare_delayed_due ON bare_delayed (run_at);
TRUNCATE bare_delayed
"""

ADD: Final = """
INSERT INTO bare_delayed (run_at, data)
VALUES (clock_timestamp() + make_interval(secs => %s), '{}')
RETURNING id, run_at, pg_notify('bare_due', 'earlier')
"""

TAKE: Final = """
DELETE FROM bare_delayed WHERE run_at <= clock_timestamp() RETURNING id
"""

NEXT: Final = """
SELECT extract(epoch FROM min(run_at) - clock_timestamp())::double precision
FROM bare_delayed
"""


def watch(dsn: str) -> dict[str, float]:
    """Do in bare SQL what a worker does with delayed jobs, until told to end."""
    starts: dict[str, float] = {}
    with connect(dsn) as connection, connect(dsn) as claiming:
        connection.execute("LISTEN bare_due")
        say("ready")
        ahead: float | None = None
        while True:
            wait = None if ahead is None else max(0.0, ahead)
            for notice in connection.notifies(timeout=wait, stop_after=1):
                if not notice.payload:
                    return starts
            taken = claiming.execute(TAKE).fetchall()
            now = time.monotonic()
            starts |= {str(job): now for (job,) in taken}
            ahead = value(claiming, NEXT)


def run(lab: Lab) -> Iterator[Report]:
    """Measure start minus due."""
    samples = lab.jobs(SAMPLES)
    due: dict[str, float] = {}
    bare_due: dict[str, float] = {}
    machine: list[float] = []
    with (
        connect(lab.dsn) as connection,
        Queue(QUEUE, dsn=lab.dsn) as queue,
    ):
        reset(connection)
        connection.execute(TABLE, prepare=False)
        with (
            Child("latency:serve", dsn=lab.dsn) as worker,
            Child("delayed:watch", dsn=lab.dsn) as watcher,
        ):
            worker.read()
            watcher.read()
            pause(1.0)
            before = offset(connection)
            for _ in range(samples):
                machine.append(doze(connection, random.uniform(0, 0.05)))
                job = queue.add("noop", delay=random.uniform(SHORTEST, LONGEST))
                if job.run_at is not None:
                    due[str(job.id)] = job.run_at.timestamp()
                machine.append(doze(connection, random.uniform(0, 0.05)))
                delay = random.uniform(SHORTEST, LONGEST)
                row = connection.execute(ADD, [delay]).fetchone()
                bare_due[str(row[0])] = row[1].timestamp()  # type: ignore[index]
            pause(LONGEST + 1)
            after = offset(connection)
            starts = worker.stop()
            connection.execute("NOTIFY bare_due")
            bare_starts = watcher.read()
    clock = (before + after) / 2
    late = [starts[job] + clock - at for job, at in due.items()]
    bare_late = [bare_starts[job] + clock - at for job, at in bare_due.items()]
    figures: dict[str, Any] = {
        "late": percentiles(late),
        "bare": percentiles(bare_late),
        "machine": percentiles(machine),
        "early": sum(delay < -abs(after - before) - 0.0005 for delay in late),
        "clock_drift_ms": round((after - before) * 1000, 3),
    }
    figures["times_bare"] = times_bare(figures["late"], figures["bare"])
    ratio = figures["late"]["p99_ms"] / P99
    yield Report("delayed", ratio, 1.0, False, figures)


def doze(connection: Connection, seconds: float) -> float:
    """Pause, then ask the server something; return how much longer that took."""
    wakes = time.monotonic() + seconds
    pause(seconds)
    value(connection, "SELECT 1")
    return time.monotonic() - wakes


def offset(connection: Connection) -> float:
    """Return the database's clock minus the monotonic one, from the fastest of many."""
    query = "SELECT extract(epoch FROM clock_timestamp())::double precision"
    best = (float("inf"), 0.0)
    for _ in range(200):
        sent = time.monotonic()
        there = value(connection, query)
        back = time.monotonic()
        best = min(best, (back - sent, there - (sent + back) / 2))
    return best[1]
