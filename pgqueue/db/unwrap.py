"""From SQLAlchemy's objects to the driver's connection inside them.

It is the connection of the transaction that the object is in; if it is in none, one is
begun in the way in which its library does at a first statement. Nothing is flushed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgqueue.db import kinds

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


def unwrap(given: Any, found: AbstractSet[str]) -> Any:
    """Return the driver's connection in what was given; itself, if it is one.

    Args:
        found: what `kinds` says of it.
    """
    if found & kinds.SESSIONS:
        # A session begins by itself, says so if its transaction has failed, and keeps
        # what was added to it for its own flush.
        return given.connection().connection.driver_connection
    if kinds.CONNECTION in found:
        if not given.in_transaction():
            given.begin()
        elif not given.get_transaction().is_active:
            # Raises SQLAlchemy's own error about a transaction that is to roll back.
            given.exec_driver_sql("SELECT")
        return given.connection.driver_connection
    return given


async def aunwrap(given: Any, found: AbstractSet[str]) -> Any:
    """Do the same for the objects of SQLAlchemy's that are awaited."""
    connection = given
    if found & kinds.ASYNC_SESSIONS:
        connection = await given.connection()
    elif kinds.ASYNC_CONNECTION not in found:
        return given
    elif not connection.in_transaction():
        await connection.begin()
    elif not connection.get_transaction().is_active:
        await connection.exec_driver_sql("SELECT")
    driver = (await connection.get_raw_connection()).driver_connection
    if kinds.kinds(driver) & kinds.ASYNCPG and not driver.is_in_transaction():
        # For asyncpg SQLAlchemy begins at the first statement that goes through it.
        await connection.exec_driver_sql("SELECT")
    return driver
