"""Where the demo runs: a private server of its own, or the database it is given."""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Final

import psycopg

from pgqueue import migrate
from pgqueue.db.translate import describe
from pgqueue.embedded import EmbeddedServer
from pgqueue.errors import ConfigError
from pgqueue.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgqueue.demo.interrupts import Interrupts
    from pgqueue.demo.show import Show

QUEUE: Final = "demo"
NAMES: Final = frozenset({"file", "priority", "delayed"})
PAGE: Final = 1000


@contextmanager
def database(
    dsn: str | None, show: Show, interrupts: Interrupts, *, keep: bool
) -> Iterator[str]:
    """Yield the DSN of a migrated database whose queue `demo` is empty.

    Args:
        keep: whether others are to look on, so are told where it is.
    """
    if dsn is not None:
        migrate.check(dsn)
        show.line(f"using {describe(dsn)}, queue {QUEUE}")
        empty(dsn, show)
        yield dsn
        return
    server = EmbeddedServer()
    began = perf_counter()
    show.line("starting a private PostgreSQL …")
    try:
        server.start()
        interrupts.check()
        migrate.upgrade(server.dsn())
        interrupts.check()
        took = perf_counter() - began
        show.line(f"{version(server.dsn())} is up and migrated after {took:.1f} s")
        if keep:
            show.line("to look on in another terminal:")
            show.line(f"  export PGQUEUE_DSN='{server.dsn()}'")
            show.line("")
        yield server.dsn()
    finally:
        server.stop()
        if interrupts.count:
            show.line("stopped; the private PostgreSQL and its folder are gone")


def version(dsn: str) -> str:
    """Return the server's name and version."""
    with psycopg.connect(dsn) as connection:
        return f"PostgreSQL {connection.info.parameter_status('server_version')}"


def empty(dsn: str, show: Show) -> None:
    """Remove what an earlier demo left, and nothing else.

    Raises:
        ConfigError: the queue has jobs that no demo has added, or another demo runs.
    """
    with Queue(QUEUE, dsn=dsn) as queue:
        after, left = None, 0
        while True:
            page = queue.jobs(after=after, limit=PAGE)
            if any(job.name not in NAMES for job in page):
                raise ConfigError(
                    f"queue {QUEUE!r} of {describe(dsn)} has jobs that are not the "
                    "demo's; use another database, or leave --dsn and PGQUEUE_DSN out"
                )
            left += len(page)
            if (after := page.cursor) is None:
                break
        if left:
            queue.clean(0, state="active")  # of a demo that was killed
            # Looked at first: a refused obliterate would leave the other one paused.
            if queue.counts().active:
                raise ConfigError(
                    f"another demo uses {describe(dsn)}, or was killed within the last "
                    "30 seconds; try again when it has ended"
                )
            queue.obliterate()
            show.line(f"removed {left:,} jobs of an earlier demo from queue {QUEUE}")
