"""`manage.py pgqueue worker` needs no target: it runs what the apps registered."""

from __future__ import annotations

import copy
import logging
import os
from typing import Any

import click
from django.conf import settings
from django.db import connections

from pgqueue.cli import worker as core
from pgqueue.cli.app import Root
from pgqueue.cli.output import note
from pgqueue.cli.params import Command, given_dsn
from pgqueue.cli.reloader import end_with_reloader
from pgqueue.cli.target import load
from pgqueue.config import Settings
from pgqueue.django.worker import adapt, make_site_worker, unknown_queues


def run_worker(
    target: str | None,
    *,
    queues: tuple[str, ...],
    drain: bool,
    reloads: bool,
    log: str,
    verbose: bool,
    **options: Any,
) -> int | None:
    """Run jobs until SIGTERM or Ctrl-C; a second one does not wait.

    Without OBJECT, every function that jobs.py of an app registers and every task. It
    may also be a Worker, or a function of one argument, the job; a function needs -q.
    """
    if reloads:
        return core.serve_anew(drain=drain)
    end_with_reloader()
    dsn = given_dsn()
    if dsn:
        os.environ["PGQUEUE_DSN"] = dsn
    asked = {name: value for name, value in options.items() if value is not None}
    if target is None:
        worker = make_site_worker(queues, **asked)
        for name in unknown_queues(queues):
            note(
                f"pgqueue: warning: no function of an app and no task is for queue {name!r}"
            )
        if dsn:
            worker.settings = Settings.load(dsn)
    else:
        made = core.make_worker(load(target), target, list(queues), asked)
        adapt(made)
        worker = made  # type: ignore[assignment]
    told_once()
    # It may fork, and a connection is for one process.
    connections.close_all()
    core.serve(
        worker,
        drain=drain,
        log=log,
        verbose=verbose,
        # Of a site it is known what it has functions for, and told above.
        named=queues if target else (),
    )
    return None


def told_once() -> None:
    """Let the worker's log be the only one of Django's records on the terminal.

    Django's default has a console of its own while DEBUG is on, and hands them on to
    the root as well. What the project says in LOGGING, or on the root, stays.
    """
    theirs = logging.getLogger("django")
    if logging.getLogger().handlers or "django" in settings.LOGGING.get("loggers", {}):
        return
    for handler in list(theirs.handlers):
        if type(handler) is logging.StreamHandler:
            theirs.removeHandler(handler)


def make_command() -> click.Command:
    """Return the command `worker` with the same options, and a target at will."""
    params = [copy.copy(each) for each in core.command.params]
    for param in params:
        if param.name == "target":
            param.required = False
            param.make_metavar = lambda *_: "[MODULE:OBJECT]"  # type: ignore[method-assign]
    # Command adds --dsn itself.
    params = [each for each in params if "--dsn" not in each.opts]
    return Command(
        "worker", callback=run_worker, params=params, help=run_worker.__doc__
    )


class SiteRoot(Root):
    """The commands of pgqueue, one of them with a default of its own."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command."""
        if cmd_name == "worker":
            return make_command()
        return super().get_command(ctx, cmd_name)


@click.group(cls=SiteRoot, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pgqueue-jobs", prog_name="pgqueue")
def root() -> None:
    """Background jobs in this site's database.

    The database is the one that PGQUEUE in the settings names, else of --dsn.
    """
