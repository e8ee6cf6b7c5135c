"""What a caller's connection is, by the names of its classes: nothing is imported for it.

Whoever has an object of a library has imported the library; nobody else has to.
"""

from __future__ import annotations

from typing import Final

SYNC: Final = (
    "a psycopg Connection or Cursor; a psycopg2 connection or cursor; an SQLAlchemy "
    "Connection, Session or scoped_session on psycopg or psycopg2; a Django connection "
    "or alias"
)
ASYNC: Final = (
    "a psycopg AsyncConnection or AsyncCursor; an asyncpg connection; an SQLAlchemy "
    "AsyncConnection, AsyncSession or async_scoped_session on psycopg or asyncpg; what is "
    "not awaited, such as a Django connection, goes to a Queue"
)

CONNECTION: Final = "sqlalchemy.engine.base.Connection"
SESSIONS: Final = frozenset(
    {"sqlalchemy.orm.session.Session", "sqlalchemy.orm.scoping.scoped_session"}
)
ASYNC_CONNECTION: Final = "sqlalchemy.ext.asyncio.engine.AsyncConnection"
ASYNC_SESSIONS: Final = frozenset(
    {
        "sqlalchemy.ext.asyncio.session.AsyncSession",
        "sqlalchemy.ext.asyncio.scoping.async_scoped_session",
    }
)
PSYCOPG2: Final = "psycopg2.extensions.connection"
PSYCOPG2_CURSOR: Final = "psycopg2.extensions.cursor"
ASYNCPG: Final = frozenset(
    {"asyncpg.connection.Connection", "asyncpg.pool.PoolConnectionProxy"}
)
DJANGO: Final = frozenset(
    {
        "django.db.backends.base.base.BaseDatabaseWrapper",
        "django.utils.connection.ConnectionProxy",
    }
)


def kinds(got: object) -> set[str]:
    """Return the full names of an object's class and of those that it inherits."""
    return {f"{one.__module__}.{one.__qualname__}" for one in type(got).__mro__}
