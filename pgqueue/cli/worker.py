"""`pgqueue worker module:object`: run jobs in this process."""

from __future__ import annotations

import difflib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pgqueue import telemetry
from pgqueue.cli import logs
from pgqueue.cli.params import DURATION, AnyParam, Command, given_dsn
from pgqueue.cli.reloader import OPTION, end_with_reloader, serve_reloading
from pgqueue.cli.target import load
from pgqueue.config import Settings
from pgqueue.db.pool import probe
from pgqueue.errors import ConfigError
from pgqueue.ops.queues import list_names
from pgqueue.queue import Queue
from pgqueue.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence


class QueueName(AnyParam):
    """The name of a queue; in the environment several, with commas between."""

    name = "queue"

    def split_envvar_value(self, rv: str) -> list[str]:
        """Split what PGQUEUE_QUEUES says."""
        return [name.strip() for name in rv.split(",") if name.strip()]


@click.command("worker", cls=Command)
@click.argument("target", metavar="MODULE:OBJECT")
@click.option(
    "-q",
    "--queue",
    "queues",
    type=QueueName(),
    multiple=True,
    envvar="PGQUEUE_QUEUES",
    help="A queue to work on; may be repeated.",
)
@click.option(
    "-c",
    "--concurrency",
    type=int,
    envvar="PGQUEUE_CONCURRENCY",
    help="How many jobs run at once.",
)
@click.option(
    "--processes",
    type=int,
    envvar="PGQUEUE_PROCESSES",
    help="How many processes, each with that concurrency.",
)
@click.option(
    "--isolation",
    type=click.Choice(("thread", "process")),
    help="process: run each job in a child process.",
)
@click.option(
    "--shutdown-timeout",
    type=DURATION,
    envvar="PGQUEUE_SHUTDOWN_TIMEOUT",
    help="How long a stop waits for what runs: 30s.",
)
@click.option("--name", help="Shown with its jobs; host and pid by default.")
@click.option("--drain", is_flag=True, help="Stop once no job is waiting.")
@click.option(
    OPTION,
    "reloads",
    is_flag=True,
    help="Restart when a .py file here changes; for development.",
)
@click.option(
    "--log",
    type=click.Choice(logs.FORMATS),
    default="text",
    envvar="PGQUEUE_LOG",
    help="How the log on stderr looks.",
)
@click.option(
    "-v", "--verbose", is_flag=True, help="Log every job, not only failed ones."
)
def command(
    target: str,
    *,
    queues: tuple[str, ...],
    drain: bool,
    reloads: bool,
    log: str,
    verbose: bool,
    **options: Any,
) -> int | None:
    """Run jobs until SIGTERM or Ctrl-C; a second one does not wait.

    OBJECT is a Worker, or a function of one argument, the job; a function needs -q.
    Options override what a Worker says. They can come from PGQUEUE_QUEUES,
    PGQUEUE_CONCURRENCY, PGQUEUE_PROCESSES, PGQUEUE_SHUTDOWN_TIMEOUT and PGQUEUE_LOG.
    """
    if reloads:
        return serve_anew(drain=drain)
    leave_at_sigterm()
    end_with_reloader()
    dsn = given_dsn()
    if dsn:
        # So that whatever the module makes uses it too, and its children do.
        os.environ["PGQUEUE_DSN"] = dsn
    Settings.load(dsn)  # so that its mistakes are not those of the module
    found = load(target)
    asked = {name: value for name, value in options.items() if value is not None}
    worker = make_worker(found, target, list(queues), asked)
    serve(worker, drain=drain, log=log, verbose=verbose, named=queues)
    return None


def serve_anew(*, drain: bool) -> int:
    """Serve in a child, and in another one whenever the code here changes."""
    if drain:
        raise ConfigError("--reload and --drain do not go together; leave one out")
    return serve_reloading(Path.cwd())


def leave_at_sigterm() -> None:
    """Let process 1 of a container end at SIGTERM before its worker runs.

    The kernel drops a signal that process 1 does not handle. Importing an application
    may take seconds, and a stop in that time would wait for SIGKILL. Nothing has been
    claimed yet; the worker then puts its own handler in the place of this one.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))


def serve(
    worker: Worker,
    *,
    drain: bool,
    log: str,
    verbose: bool = False,
    named: Sequence[str] = (),
) -> None:
    """Run a worker; say at once that it cannot begin, and which name may be mistyped.

    Args:
        named: the queues that were named beside the code.
    """
    logs.configure(log, verbose=verbose)
    # A worker outlives an outage, but one that cannot begin should say so.
    probe(worker.settings)
    with Queue(worker.queues[0], dsn=worker.settings.dsn) as queue:
        queue.is_paused()
        if named:
            tell_missing(named, queue._run(list_names(), None))  # noqa: SLF001
    worker.run(drain=drain)


def tell_missing(named: Sequence[str], known: Sequence[str]) -> None:
    """Warn of queues that are not there yet: it may be the first start, or a mistake."""
    for name in named:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            reason = f"nothing was ever added to it, the worker waits for it{hint}"
            telemetry.emit("queue.missing", queue=name, reason=reason)


def make_worker(
    found: Any, target: str, queues: list[str], asked: dict[str, Any]
) -> Worker:
    """Return the worker named, or one around the function named.

    Raises:
        ConfigError: it is neither, or a function without a queue.
    """
    if isinstance(found, Worker):
        # Checks the values; the listeners are on the one that was found.
        checked = Worker(queues or found.queues, found.handlers.default, **asked)
        if queues:
            found.queues = checked.queues
        for name in asked:
            setattr(found, name, getattr(checked, name))
        if dsn := given_dsn():
            found.settings = Settings.load(dsn)
        return found
    if not callable(found) or isinstance(found, type):
        kind = type(found).__name__ if not isinstance(found, type) else "class"
        raise ConfigError(f"{target} is a {kind}; name a Worker or a function")
    if not queues:
        raise ConfigError(f"{target} is a function; name its queue: -q QUEUE")
    return Worker(queues, found, **asked)
