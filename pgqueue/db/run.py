"""Drive an operation: `run` on a sync connection, `arun` on an async one.

The only place below the shells that knows one from the other.
"""

from __future__ import annotations

from typing import Any, TypeVar

import psycopg
from psycopg.rows import tuple_row

from pgqueue import sql
from pgqueue.db.translate import describe, translate
from pgqueue.ops.core import Atomic, Op, Row

T = TypeVar("T")

SyncConnection = psycopg.Connection[Any]
AsyncConnection = psycopg.AsyncConnection[Any]


def run(connection: SyncConnection, op: Op[T] | Atomic[T], schema: str) -> T:
    """Run an operation's statements one after the other and return its value.

    Never begins, commits or rolls back, unless the connection commits by itself and
    the operation is atomic.
    """
    if isinstance(op, Atomic):
        if not connection.autocommit:
            return run(connection, op.op, schema)
        with connection.transaction():
            return run(connection, op.op, schema)
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows: list[Row] | None = None
        while True:
            try:
                statement = op.send(rows) if rows is not None else next(op)
            except StopIteration as stop:
                value: T = stop.value
                return value
            try:
                cursor.execute(sql.load(statement.name, schema), statement.params)
                rows = cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                op.close()
                if better := translate(error, describe(connection.info.dsn)):
                    raise better from error
                raise


async def arun(connection: AsyncConnection, op: Op[T] | Atomic[T], schema: str) -> T:
    """Do what `run` does, awaiting the connection."""
    if isinstance(op, Atomic):
        if not connection.autocommit:
            return await arun(connection, op.op, schema)
        async with connection.transaction():
            return await arun(connection, op.op, schema)
    async with connection.cursor(row_factory=tuple_row) as cursor:
        rows: list[Row] | None = None
        while True:
            try:
                statement = op.send(rows) if rows is not None else next(op)
            except StopIteration as stop:
                value: T = stop.value
                return value
            try:
                await cursor.execute(sql.load(statement.name, schema), statement.params)
                rows = await cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                op.close()
                if better := translate(error, describe(connection.info.dsn)):
                    raise better from error
                raise
