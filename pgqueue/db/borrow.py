"""Run an operation on what a caller calls a connection, whatever library it is of.

What is borrowed is the caller's: nothing here commits, rolls back or closes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from pgqueue.db import kinds, on_asyncpg, on_psycopg2
from pgqueue.db.django import note_error, of_django
from pgqueue.db.run import arun, run
from pgqueue.db.unwrap import aunwrap, unwrap
from pgqueue.errors import UnsupportedConnection

if TYPE_CHECKING:
    from pgqueue.ops.core import Atomic, Op

T = TypeVar("T")


def run_on(connection: object, op: Op[T] | Atomic[T], schema: str) -> T:
    """Run an operation in the caller's transaction.

    Raises:
        UnsupportedConnection: it is none of the accepted kinds.
    """
    if isinstance(connection, psycopg.Connection):
        return run(connection, op, schema)
    names = kinds.kinds(connection)
    if isinstance(connection, str) or names & kinds.DJANGO:
        wrapper = of_django(connection)
        try:
            return run_driver(wrapper, wrapper.connection, op, schema)
        except Exception as error:
            note_error(wrapper, error)
            raise
    return run_driver(connection, unwrap(connection, names), op, schema)


def run_driver(
    connection: object, driver: Any, op: Op[T] | Atomic[T], schema: str
) -> T:
    """Run an operation on a driver's connection, found in what the caller gave."""
    if isinstance(driver, (psycopg.Cursor, psycopg.ServerCursor)):
        driver = driver.connection
    if isinstance(driver, psycopg.Connection):
        return run(driver, op, schema)
    found = kinds.kinds(driver)
    if kinds.PSYCOPG2_CURSOR in found:
        driver = driver.connection
    elif kinds.PSYCOPG2 not in found:
        raise unsupported(connection, driver, kinds.SYNC)
    if driver.async_:
        raise UnsupportedConnection(
            driver, f"{kinds.SYNC}, not an asynchronous psycopg2"
        )
    return on_psycopg2.run(driver, op, schema)


async def arun_on(connection: object, op: Op[T] | Atomic[T], schema: str) -> T:
    """Do what `run_on` does, awaiting.

    Raises:
        UnsupportedConnection: it is none of the accepted kinds.
    """
    if isinstance(connection, psycopg.AsyncConnection):
        return await arun(connection, op, schema)
    driver = await aunwrap(connection, kinds.kinds(connection))
    if isinstance(driver, (psycopg.AsyncCursor, psycopg.AsyncServerCursor)):
        driver = driver.connection
    if isinstance(driver, psycopg.AsyncConnection):
        return await arun(driver, op, schema)
    if kinds.kinds(driver) & kinds.ASYNCPG:
        return await on_asyncpg.run(driver, op, schema)
    raise unsupported(connection, driver, kinds.ASYNC)


def unsupported(given: object, driver: object, accepted: str) -> UnsupportedConnection:
    """Return the error that names what was given, and the driver inside it."""
    if driver is given:
        return UnsupportedConnection(given, accepted)
    return UnsupportedConnection(given, accepted, inside=driver)
