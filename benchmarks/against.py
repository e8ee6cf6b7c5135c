"""This checkout against an older commit, in turns: what a plain queue costs since then.

Both sides are this directory's functions, each in a fresh process, over the package of
its own commit and a database with that commit's schema. A ratio is of two runs that
followed each other; what is reported is their median, and how sure it is.
"""

from __future__ import annotations

import io
import os
import random
import statistics
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import pgqueue
from benchmarks.child import call
from benchmarks.lab import QUEUE, TABLES, Report, connect, value
from pgqueue import NewJob, Queue, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.lab import Connection, Lab

JOBS: Final = 50_000
BOUND: Final = 0.95
RESAMPLED: Final = 10_000
HERE: Final = Path(__file__).resolve().parent.parent


def prepare(dsn: str) -> str:
    """Migrate a database; return where the package that did it lies."""
    migrate.upgrade(dsn)
    return str(Path(pgqueue.__file__).parent)


def add(dsn: str, *, jobs: int) -> tuple[float, float]:
    """Add jobs at once; return seconds and CPU seconds."""
    new = [NewJob("noop", {"n": 10_000, "text": "x" * 170}) for _ in range(jobs)]
    with Queue(QUEUE, dsn=dsn) as queue:
        queue.count()
        began, cpu = time.perf_counter(), time.process_time()
        queue.add_bulk(new)
        return time.perf_counter() - began, time.process_time() - cpu


def run(lab: Lab) -> Iterator[Report]:
    """Compare adding and draining with an older commit.

    Raises:
        SystemExit: no commit was named.
    """
    if not lab.against:
        sys.exit("against: say which commit, with --against REV")
    with TemporaryDirectory() as folder:
        unpack(lab.against, Path(folder))
        where = {"new": str(HERE), "old": folder}
        dsn = {side: lab.make_empty(f"against_{side}") for side in where}

        def side(name: str, function: str, **arguments: Any) -> Any:
            path = os.pathsep.join((where[name], str(HERE)))
            return call(
                function,
                cwd=folder,
                environ={"PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
                dsn=dsn[name],
                **arguments,
            )

        for name, folder_of in where.items():
            found = side(name, "against:prepare")
            if Path(found).parent != Path(folder_of).resolve():
                raise RuntimeError(f"measured another package: {found}")
        yield from measure(lab, side, dsn)


def measure(lab: Lab, side: Any, dsn: dict[str, str]) -> Iterator[Report]:
    """Run both sides in turns, each first every other time."""
    jobs = lab.jobs(JOBS)
    kinds = ("add", "async", "def")
    took: dict[str, dict[str, list[float]]]
    took = {kind: {"new": [], "old": []} for kind in kinds}
    for turn in range(lab.rounds):
        for kind in kinds[1:]:
            for name in ("new", "old") if turn % 2 else ("old", "new"):
                with connect(dsn[name]) as connection:
                    empty(connection)
                    took["add"][name].append(side(name, "against:add", jobs=jobs)[0])
                    connection.execute("VACUUM (ANALYZE)")
                    connection.execute("CHECKPOINT")
                    took[kind][name].append(
                        side(name, "drain:with_worker", handler=kind, keep=False)[0]
                    )
                    if value(connection, "SELECT count(*) FROM pgqueue.ready"):
                        raise RuntimeError(f"{name}: the queue is not drained")
    for kind, of in took.items():
        ratios = [o / n for n, o in zip(of["new"], of["old"], strict=True)]
        low, high = certainty(ratios)
        figures = {
            "against": lab.against,
            "low": round(low, 3),
            "high": round(high, 3),
            "ratios": sorted(round(ratio, 3) for ratio in ratios),
            "new_per_s": round(jobs / statistics.median(of["new"])),
            "old_per_s": round(jobs / statistics.median(of["old"])),
        }
        median = statistics.median(ratios)
        yield Report(f"against.{kind}", median, BOUND, figures=figures)


def certainty(ratios: list[float]) -> tuple[float, float]:
    """Return between what the median lies nineteen times of twenty, by bootstrap."""
    dice = random.Random(1)
    medians = sorted(
        statistics.median(dice.choices(ratios, k=len(ratios))) for _ in range(RESAMPLED)
    )
    return medians[RESAMPLED // 40], medians[-RESAMPLED // 40]


def unpack(revision: str, folder: Path) -> None:
    """Put the package of a commit, and its migrations, into a folder."""
    command = ["git", "archive", revision, "pgqueue", "alembic", "pyproject.toml"]
    done = subprocess.run(command, check=False, capture_output=True, cwd=HERE)
    if done.returncode:
        sys.exit(f"against: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def empty(connection: Connection) -> None:
    """Empty the tables that both commits have."""
    tables = ", ".join(f"pgqueue.{name}" for name in TABLES.split(", "))
    connection.execute(f"TRUNCATE {tables}")
