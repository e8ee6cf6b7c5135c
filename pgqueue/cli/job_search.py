"""`pgqueue job search`: find jobs by what they hold."""

from __future__ import annotations

import click

from pgqueue.cli.job_view import show_jobs
from pgqueue.cli.output import note, print_json, say
from pgqueue.cli.params import DURATION, given_dsn, json_option
from pgqueue.cli.queue_view import check_queue
from pgqueue.queue import Queue


@click.command("search")
@click.argument("queue")
@click.argument("terms", metavar="TERM…", nargs=-1, required=True)
@click.option("--limit", default=20, show_default=True, help="At most so many.")
@click.option("--after", metavar="CURSOR", help="Go on where a listing ended.")
@click.option("--timeout", type=DURATION, default="5s", help="How long to look.")
@json_option
def search(
    queue: str,
    terms: tuple[str, ...],
    *,
    limit: int,
    after: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Find jobs by name:welcome, state:failed, tag:x or data.user.id:42, newest first."""
    check_queue(queue)
    with Queue(queue, dsn=given_dsn()) as it:
        page = it.search(" ".join(terms), limit, after, timeout=timeout)
    if as_json:
        print_json([job.to_dict() for job in page])
    elif page:
        show_jobs(list(page))
    else:
        say("no jobs")
    if page.cursor:
        note(f"more: --after {page.cursor}")
