"""`Queue`: put jobs in and look after them, from sync code."""

from __future__ import annotations

from pgqueue.shells.control import Control
from pgqueue.shells.getters import Getters
from pgqueue.shells.grouping import Grouping
from pgqueue.shells.history import History
from pgqueue.shells.jobs import Jobs
from pgqueue.shells.keeping import Keeping
from pgqueue.shells.limiting import Limiting
from pgqueue.shells.schedules import Schedules
from pgqueue.shells.tasks import Tasks
from pgqueue.shells.whole import Whole


class Queue(
    Tasks,
    Jobs,
    Control,
    Getters,
    Grouping,
    History,
    Keeping,
    Limiting,
    Schedules,
    Whole,
):
    """A named queue in a PostgreSQL database.

    Thread-safe, and safe to be made before a fork: connections belong to the process
    that uses them.

    Args:
        name: 1 to 255 characters; the queue exists from its first use.
        dsn: a libpq connection string or URL; by default `PGQUEUE_DSN`, then
            `DATABASE_URL`, then libpq's `PG*` variables.
        pool: a `psycopg_pool.ConnectionPool` of yours, instead of a DSN: the queue
            takes its connections, and never opens or closes it.
        size_limit: the largest data of one job, in bytes of JSON.

    Raises:
        ConfigError: the name or a setting is not valid. No I/O happens here.
        UnsupportedConnection: `pool` is another kind of thing.
    """

    def __enter__(self) -> Queue:
        return self
