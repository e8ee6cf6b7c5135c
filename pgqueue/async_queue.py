"""`AsyncQueue`: `Queue` for asyncio, method for method; what they promise stands there."""

from __future__ import annotations

from pgqueue.shells.control import AsyncControl
from pgqueue.shells.getters import AsyncGetters
from pgqueue.shells.grouping import AsyncGrouping
from pgqueue.shells.history import AsyncHistory
from pgqueue.shells.jobs import AsyncJobs
from pgqueue.shells.keeping import AsyncKeeping
from pgqueue.shells.limiting import AsyncLimiting
from pgqueue.shells.schedules import AsyncSchedules
from pgqueue.shells.tasks import AsyncTasks
from pgqueue.shells.whole import AsyncWhole


class AsyncQueue(
    AsyncTasks,
    AsyncJobs,
    AsyncControl,
    AsyncGetters,
    AsyncHistory,
    AsyncGrouping,
    AsyncKeeping,
    AsyncLimiting,
    AsyncSchedules,
    AsyncWhole,
):
    """A named queue in a PostgreSQL database, used from asyncio.

    May be used from several event loops, one after the other: connections belong to
    the loop that uses them.

    Args:
        name: 1 to 255 characters; the queue exists from its first use.
        dsn: a libpq connection string or URL; by default `PGQUEUE_DSN`, then
            `DATABASE_URL`, then libpq's `PG*` variables.
        pool: a `psycopg_pool.AsyncConnectionPool` of yours, instead of a DSN: the queue
            takes its connections, and never opens or closes it.
        size_limit: the largest data of one job, in bytes of JSON.

    Raises:
        ConfigError: the name or a setting is not valid. No I/O happens here.
        UnsupportedConnection: `pool` is another kind of thing.
    """

    async def __aenter__(self) -> AsyncQueue:
        return self
