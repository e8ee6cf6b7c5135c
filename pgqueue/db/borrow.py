"""From what a caller calls a connection to the driver connection inside it.

What is borrowed is the caller's: nothing here begins, commits, rolls back or closes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg

from pgqueue.errors import UnsupportedConnection

if TYPE_CHECKING:
    from pgqueue.db.run import AsyncConnection, SyncConnection

SYNC: Final = "a psycopg Connection or Cursor"
ASYNC: Final = "a psycopg AsyncConnection or AsyncCursor"


def borrow(connection: object) -> SyncConnection:
    """Return the sync connection to run on.

    Raises:
        UnsupportedConnection: it is none of the accepted kinds.
    """
    if isinstance(connection, psycopg.Connection):
        return connection
    if isinstance(connection, (psycopg.Cursor, psycopg.ServerCursor)):
        return connection.connection
    raise UnsupportedConnection(connection, SYNC)


def aborrow(connection: object) -> AsyncConnection:
    """Return the async connection to run on.

    Raises:
        UnsupportedConnection: it is none of the accepted kinds.
    """
    if isinstance(connection, psycopg.AsyncConnection):
        return connection
    if isinstance(connection, (psycopg.AsyncCursor, psycopg.AsyncServerCursor)):
        return connection.connection
    raise UnsupportedConnection(connection, ASYNC)
