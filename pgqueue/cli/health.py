"""`pgqueue health`: whether a worker of this host is well, for probes."""

from __future__ import annotations

import socket

import click

from pgqueue.cli.output import print_json, say
from pgqueue.cli.params import Command, given_dsn, json_option
from pgqueue.cli.queue_view import Reader
from pgqueue.config import Settings
from pgqueue.db import pool
from pgqueue.db.run import run
from pgqueue.errors import PgQueueError
from pgqueue.ops import getters


@click.command("health", cls=Command)
@click.option("--host", help="Another host than this one, or this container.")
@json_option
def command(host: str | None, *, as_json: bool) -> None:
    """Exit 0 if a worker of this host renews its leases, 2 if none does.

    Made for the health check of a container and the readiness probe of a pod. It asks
    the database: do not restart a worker because of it, for a worker outlives an outage.
    """
    name = host or socket.gethostname()
    settings, user = Settings.load(given_dsn()), Reader()
    try:
        with pool.connection(settings, user) as connection:
            beating, known = run(connection, getters.beating(name), settings.schema)
    finally:
        pool.pools.leave(settings, user)
    if not beating:
        gone = (
            f"none of its {known} workers renews its leases" if known else "no worker"
        )
        raise PgQueueError(f"{name}: {gone}; see the log of pgqueue worker there")
    if as_json:
        print_json({"host": name, "well": beating, "workers": known})
        return
    say(f"{name}: {beating} of {known} workers are well")
