"""`pgqueue demo`: see it work, with nothing but this package."""

from __future__ import annotations

import os

import click

from pgqueue.cli.output import Output
from pgqueue.cli.params import Command, given_dsn
from pgqueue.demo import Show, demo


@click.command("demo", cls=Command)
@click.option(
    "--keep", is_flag=True, help="Leave the server up at the end, till Ctrl-C."
)
@click.option("--limit", type=click.IntRange(min=1), hidden=True)
def command(*, keep: bool, limit: int | None) -> None:
    """Watch jobs run, on a private PostgreSQL.

    There is a job for each file of Python's standard library. With --dsn or
    PGQUEUE_DSN it uses that database instead, and in it the queue `demo`.
    """
    dsn = given_dsn() or os.environ.get("PGQUEUE_DSN") or None
    demo(Show(Output()), dsn=dsn, limit=limit, keep=keep)
