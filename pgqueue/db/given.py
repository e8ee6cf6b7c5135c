"""Connections of a pool that the caller made, keeps and closes.

Lent ones commit each statement by itself, like our own, whatever the pool made them to
do; they go back as they came.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolClosed, PoolTimeout

from pgqueue.errors import ConfigError, DatabaseUnavailable, UnsupportedConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pgqueue.db.run import AsyncConnection, SyncConnection

CLOSED = "the pool given as pool= is not open; open it before the first call"


def check_pool(given: object, kind: type, dsn: str | None) -> None:
    """See that a pool is of the kind that a queue needs, and the only thing it needs.

    Raises:
        ConfigError: a DSN is given too.
        UnsupportedConnection: it is none.
    """
    if given is None:
        return
    if dsn is not None:
        raise ConfigError("give pool= or dsn=, not both: a pool has its DSN")
    if not isinstance(given, kind):
        accepted = f"a psycopg_pool.{kind.__name__}"
        raise UnsupportedConnection(given, accepted, option="pool")


@contextmanager
def lend(pool: ConnectionPool[Any]) -> Iterator[SyncConnection]:
    """Lend a connection of the caller's pool.

    Raises:
        ConfigError: the pool is not open.
        DatabaseUnavailable: it gave none in its own time.
    """
    try:
        lent = pool.getconn()
    except PoolClosed as error:
        raise ConfigError(CLOSED) from error
    except PoolTimeout as error:
        raise all_lent(error) from error
    before = lent.autocommit
    try:
        lent.autocommit = True
        yield lent
    finally:
        if is_usable(lent):
            lent.autocommit = before
        # One that is of no more use is replaced by the pool.
        pool.putconn(lent)


@asynccontextmanager
async def alend(pool: AsyncConnectionPool[Any]) -> AsyncIterator[AsyncConnection]:
    """Do what `lend` does, awaiting."""
    try:
        lent = await pool.getconn()
    except PoolClosed as error:
        raise ConfigError(CLOSED) from error
    except PoolTimeout as error:
        raise all_lent(error) from error
    before = lent.autocommit
    try:
        await lent.set_autocommit(True)
        yield lent
    finally:
        if is_usable(lent):
            await lent.set_autocommit(before)
        await pool.putconn(lent)


def is_usable(lent: SyncConnection | AsyncConnection) -> bool:
    """Whether a connection works and is in no transaction."""
    return lent.info.transaction_status == TransactionStatus.IDLE


def all_lent(error: Exception) -> DatabaseUnavailable:
    """Return the error for a pool that gave no connection."""
    return DatabaseUnavailable(
        f"the pool given as pool= gave no connection ({error}); check that its server "
        "runs, and its max_size"
    )
