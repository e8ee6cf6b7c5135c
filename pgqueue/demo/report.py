"""What came of the demo's jobs, read back from the queue."""

from __future__ import annotations

from dataclasses import fields
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from pgqueue.demo.work import DELAYS, PRIORITIES

if TYPE_CHECKING:
    from pgqueue.demo.show import Show
    from pgqueue.queue import Queue
    from pgqueue.types import Counts, Job

PAGE: Final = 1000
SLOWEST: Final = 5
MOST_FAILURES: Final = 10
STYLES: Final = {"completed": "green", "failed": "red"}


def report(queue: Queue, show: Show) -> None:
    """Print the states, the slowest files, the failures and the rate."""
    done = finished(queue)
    results = {name: results_of(done, name) for name in ("file", "priority", "delayed")}
    show.table(states(queue.counts()))
    show.table(slowest(results["file"]))
    failures = [job for job in done if job.state == "failed"]
    if failures:
        show.table(reasons(failures))
    show.line("")
    show.line(order(results["priority"], len(done)))
    show.line(punctuality(results["delayed"]))
    show.line(summary(done, results["file"]))


def finished(queue: Queue) -> list[Job]:
    """Return every job that has completed or failed, page by page."""
    found: list[Job] = []
    after = None
    while True:
        page = queue.jobs(["completed", "failed"], after=after, limit=PAGE)
        found += page
        if (after := page.cursor) is None:
            return found


def results_of(done: list[Job], name: str) -> list[dict[str, Any]]:
    """Return data and result of the completed jobs of one name, as they began."""
    made = [
        {"priority": job.priority, **(job.data or {}), **job.result}
        for job in done
        if job.name == name and job.state == "completed"
    ]
    return sorted(made, key=itemgetter("place"))


def plain_table(*columns: str) -> Table:
    """Return an empty table without lines; the first column is text, others numbers."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for name in columns:
        side = "left" if name == columns[0] else "right"
        made.add_column(name, justify=side, no_wrap=True)  # type: ignore[arg-type]
    return made


def states(counts: Counts) -> Table:
    """Return the table of how many jobs stand where."""
    shown = plain_table("state", "jobs")
    for each in fields(counts):
        number = getattr(counts, each.name)
        if number or each.name in STYLES:
            shown.add_row(each.name, Text(f"{number:,}", STYLES.get(each.name, "")))
    return shown


def slowest(files: list[dict[str, Any]]) -> Table:
    """Return the table of the files that took the most time of a processor."""
    shown = plain_table("slowest files", "lines", "tokens", "time")
    for file in sorted(files, key=itemgetter("seconds"), reverse=True)[:SLOWEST]:
        shown.add_row(
            file["path"],
            f"{file['lines']:,}",
            f"{file['tokens']:,}",
            f"{file['seconds'] * 1000:.0f} ms",
        )
    return shown


def reasons(failures: list[Job]) -> Table:
    """Return the table of what failed, and why."""
    shown = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    shown.add_column("failed files", no_wrap=True)
    shown.add_column("reason")
    for job in failures[:MOST_FAILURES]:
        reason = " ".join((job.error or "").split())
        shown.add_row(
            str((job.data or {}).get("path", job.name)),
            Text(reason, "red", no_wrap=True, overflow="ellipsis"),
        )
    if len(failures) > MOST_FAILURES:
        shown.add_row(f"and {len(failures) - MOST_FAILURES} more", "")
    return shown


def order(jobs: list[dict[str, Any]], total: int) -> str:
    """Return a sentence about the jobs with priority."""
    added = ", ".join(map(str, PRIORITIES))
    ran = ", ".join(str(job["priority"]) for job in jobs)
    places = ", ".join(str(job["place"]) for job in jobs)
    return (
        f"priority   {added}, added after all files, began as {ran}: "
        f"in the places {places} of {total:,}"
    )


def punctuality(jobs: list[dict[str, Any]]) -> str:
    """Return a sentence about the delayed jobs."""
    asked = ", ".join(f"{delay:g}" for delay in DELAYS)
    late = ", ".join(f"{job['late'] * 1000:.0f}" for job in jobs)
    return f"delayed    by {asked} s, began {late} ms after they were due"


def summary(done: list[Job], files: list[dict[str, Any]]) -> str:
    """Return a sentence about all of it; the instants are the database's."""
    began = min(job.started_at for job in done if job.started_at)
    ended = max(job.finished_at for job in done if job.finished_at)
    took = (ended - began).total_seconds()
    lines = sum(file["lines"] for file in files)
    tokens = sum(file["tokens"] for file in files)
    return (
        f"all        {len(done):,} jobs in {took:.1f} s, {len(done) / took:,.0f} jobs/s; "
        f"{lines:,} lines, {tokens:,} tokens"
    )
