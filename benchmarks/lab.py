"""What all benchmarks share: a database, clocks and meters, the report."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]
Side = Callable[[], "Run"]

QUEUE: Final = "bench"

TABLES: Final = "ready, delayed, lease, job, finished, attempt, progress, worker"


@dataclass(frozen=True, slots=True)
class Lab:
    """Where and how large to measure.

    Attributes:
        dsn: a migrated database that belongs to this benchmark.
        make: makes another one, by name, and returns its DSN.
        make_empty: the same, not migrated.
        rounds: how often each side runs, alternating.
        seconds: how long a benchmark of a steady state lasts.
        scale: multiplies the numbers of jobs.
        against: the commit that `against` compares with.
    """

    dsn: str
    make: Callable[[str], str]
    make_empty: Callable[[str], str]
    rounds: int
    seconds: float
    scale: float
    against: str = ""

    def jobs(self, number: int) -> int:
        """Return a number of jobs for the chosen scale."""
        return max(100, int(number * self.scale))


class Run(NamedTuple):
    """One run of one side; `cpu` is the client's, in seconds."""

    jobs: int
    seconds: float
    cpu: float
    wal: int

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.jobs / self.seconds


@dataclass(slots=True)
class Report:
    """What a benchmark says: its ratio against its bound, and other figures.

    Attributes:
        at_least: whether the bound is a lower one.
    """

    bench: str
    ratio: float
    bound: float | None = None
    at_least: bool = True
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the bound is met."""
        if self.bound is None:
            return True
        return self.ratio >= self.bound if self.at_least else self.ratio <= self.bound

    def line(self) -> dict[str, Any]:
        """Return the report as one JSON object."""
        head = {"bench": self.bench, "ratio": round(self.ratio, 3)}
        return {**head, "bound": self.bound, "ok": self.ok, **self.figures}

    def text(self) -> str:
        """Return the report as one line for people."""
        bound = ""
        if self.bound is not None:
            sign = ">=" if self.at_least else "<="
            bound = f" ({sign} {self.bound:g})"
        verdict = "ok" if self.ok else "NOT MET"
        return f"{self.bench:24} {self.ratio:8.3f}{bound:12} {verdict}"


@contextmanager
def connect(dsn: str) -> Iterator[Connection]:
    """Open the connection of a bare side: commits by itself, prepares at once."""
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=0) as connection:
        yield connection


def value(connection: Connection, query: str, params: Any = None) -> Any:
    """Return the only column of the first row."""
    row = connection.execute(query, params).fetchone()
    if row is None:
        raise RuntimeError(f"no row: {query}")
    return row[0]


def reset(connection: Connection) -> int:
    """Empty pgqueue's tables, checkpoint, and return the id of the queue."""
    tables = ", ".join(f"pgqueue.{name}" for name in TABLES.split(", "))
    connection.execute(f"TRUNCATE {tables}")
    connection.execute("CHECKPOINT")
    return int(value(connection, "SELECT pgqueue.queue_id(%s)", [QUEUE]))


def wal_position(connection: Connection) -> int:
    """Return how much WAL the server has written, in bytes."""
    query = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
    return int(value(connection, query))


def timed(connection: Connection, jobs: int, work: Callable[[], object]) -> Run:
    """Run something in this process and measure it."""
    wal = wal_position(connection)
    began, cpu = time.perf_counter(), time.process_time()
    work()
    took, used = time.perf_counter() - began, time.process_time() - cpu
    return Run(jobs, took, used, wal_position(connection) - wal)


def alternate(rounds: int, sides: Mapping[str, Side]) -> dict[str, list[Run]]:
    """Run the sides A B A B …, so that what the machine does besides hits them all."""
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            runs[name].append(side())
    return runs


def ratio(runs: Mapping[str, Sequence[Run]], one: str, other: str) -> list[float]:
    """Return how the rates of two sides compare in each round, sorted."""
    return sorted(a.rate / b.rate for a, b in zip(runs[one], runs[other], strict=True))


def compare(
    bench: str,
    runs: Mapping[str, Sequence[Run]],
    one: str,
    other: str,
    bound: float | None = None,
) -> Report:
    """Return the median ratio of two sides, and the figures of both."""
    ratios = ratio(runs, one, other)
    figures = {
        "ratios": [round(each, 3) for each in ratios],
        one: summary(runs[one]),
        other: summary(runs[other]),
    }
    return Report(bench, statistics.median(ratios), bound, figures=figures)


def summary(runs: Sequence[Run]) -> dict[str, float]:
    """Return the medians of one side."""
    return {
        "jobs_per_s": round(statistics.median(run.rate for run in runs)),
        "wal_per_job": round(statistics.median(run.wal / run.jobs for run in runs)),
        "client_cpu": round(
            statistics.median(run.cpu / run.seconds for run in runs), 2
        ),
        "cpu_us_per_job": round(
            statistics.median(run.cpu / run.jobs for run in runs) * 1e6, 1
        ),
    }


def percentiles(samples: Sequence[float]) -> dict[str, float]:
    """Return p50, p99 and the largest of samples in seconds, as milliseconds."""
    ordered = sorted(samples)
    last = len(ordered) - 1

    def at(share: float) -> float:
        return round(ordered[min(last, int(share * len(ordered)))] * 1000, 2)

    return {"p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0), "n": last + 1}
