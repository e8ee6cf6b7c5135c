"""Drive an operation: `run` on a sync connection, `arun` on an async one.

The only place below the shells that knows one from the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from pgqueue import sql
from pgqueue.db.translate import server_of, translate
from pgqueue.ops.core import Atomic, Op, Row, Statement

if TYPE_CHECKING:
    from pgqueue.errors import PgQueueError

T = TypeVar("T")

SyncConnection = psycopg.Connection[Any]
AsyncConnection = psycopg.AsyncConnection[Any]

ADAPTERS: Final = AdaptersMap(psycopg.adapters)
"""How our values go out and come in, whatever a caller registered for its own."""


class Cursor(psycopg.Cursor[Row]):
    """A cursor that a borrowed connection's factories and adapters do not change."""

    def __init__(self, connection: SyncConnection) -> None:
        super().__init__(connection, row_factory=tuple_row)
        self._adapters = ADAPTERS


class AsyncCursor(psycopg.AsyncCursor[Row]):
    """Does what `Cursor` does, awaiting."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection, row_factory=tuple_row)
        self._adapters = ADAPTERS


def run(connection: SyncConnection, op: Op[T] | Atomic[T], schema: str) -> T:
    """Run an operation's statements one after the other and return its value.

    Never begins, commits or rolls back a caller's transaction. An atomic operation is a
    transaction of its own on a connection that commits by itself, and a savepoint in a
    caller's transaction if it asks for one.
    """
    if isinstance(op, Atomic):
        return run_atomic(connection, op, schema)
    with Cursor(connection) as cursor:
        rows: list[Row] | None = None
        while True:
            try:
                statement = next(op) if rows is None else op.send(rows)
            except StopIteration as stop:
                value: T = stop.value
                return value
            try:
                cursor.execute(
                    sql.load(statement.name, schema),
                    statement.params,
                    prepare=False if statement.name in sql.PLANNED_ANEW else None,
                )
                rows = fetch(cursor, connection)
            except psycopg.Error as error:
                op.close()
                if better := translated(error, connection):
                    raise better from error
                raise


def fetch(cursor: Cursor, connection: SyncConnection) -> list[Row]:
    """Return the rows of a statement; in a caller's pipeline this waits for them."""
    if not connection.pgconn.pipeline_status:
        return cursor.fetchall() if cursor.description else []
    try:
        return cursor.fetchall()
    except psycopg.ProgrammingError as error:
        # The driver's own words for a statement without a result carry no code.
        if error.sqlstate is not None:
            raise
        return []


def run_atomic(connection: SyncConnection, atomic: Atomic[T], schema: str) -> T:
    """Run an operation whose statements stand or fall together."""
    if not connection.autocommit:
        if not atomic.savepoint:
            return run(connection, atomic.op, schema)
        if connection.info.transaction_status == TransactionStatus.IDLE:
            # Or psycopg would take the transaction for ours and commit it.
            run(connection, begin(), schema)
    ours: BaseException | None = None
    try:
        with connection.transaction():
            try:
                value = run(connection, atomic.op, schema)
            except BaseException as error:
                ours = error
                raise
    except psycopg.Error as error:
        if error is not ours and (better := translated(error, connection)):
            raise better from error
        raise
    if atomic.then is not None and connection.autocommit:
        run(connection, atomic.then, schema)
    return value


async def arun(connection: AsyncConnection, op: Op[T] | Atomic[T], schema: str) -> T:
    """Do what `run` does, awaiting the connection."""
    if isinstance(op, Atomic):
        return await arun_atomic(connection, op, schema)
    async with AsyncCursor(connection) as cursor:
        rows: list[Row] | None = None
        while True:
            try:
                statement = next(op) if rows is None else op.send(rows)
            except StopIteration as stop:
                value: T = stop.value
                return value
            try:
                await cursor.execute(
                    sql.load(statement.name, schema),
                    statement.params,
                    prepare=False if statement.name in sql.PLANNED_ANEW else None,
                )
                rows = await afetch(cursor, connection)
            except psycopg.Error as error:
                op.close()
                if better := translated(error, connection):
                    raise better from error
                raise


async def afetch(cursor: AsyncCursor, connection: AsyncConnection) -> list[Row]:
    """Do what `fetch` does, awaiting the connection."""
    if not connection.pgconn.pipeline_status:
        return await cursor.fetchall() if cursor.description else []
    try:
        return await cursor.fetchall()
    except psycopg.ProgrammingError as error:
        if error.sqlstate is not None:
            raise
        return []


async def arun_atomic(connection: AsyncConnection, atomic: Atomic[T], schema: str) -> T:
    """Do what `run_atomic` does, awaiting the connection."""
    if not connection.autocommit:
        if not atomic.savepoint:
            return await arun(connection, atomic.op, schema)
        if connection.info.transaction_status == TransactionStatus.IDLE:
            await arun(connection, begin(), schema)
    ours: BaseException | None = None
    try:
        async with connection.transaction():
            try:
                value = await arun(connection, atomic.op, schema)
            except BaseException as error:
                ours = error
                raise
    except psycopg.Error as error:
        if error is not ours and (better := translated(error, connection)):
            raise better from error
        raise
    if atomic.then is not None and connection.autocommit:
        await arun(connection, atomic.then, schema)
    return value


def begin() -> Op[None]:
    """Make psycopg begin the caller's transaction, as any first statement does."""
    yield Statement("begin", {})


def translated(
    error: psycopg.Error, connection: SyncConnection | AsyncConnection
) -> PgQueueError | None:
    """Return our error for a driver's, naming the server; None to let it pass."""
    return translate(error, server_of(connection))
