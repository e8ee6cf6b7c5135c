"""The connection that a worker claims and finishes on; reconnects by itself."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final, TypeVar

import psycopg
from psycopg.rows import tuple_row

from pgqueue import sql, telemetry
from pgqueue.db.pool import connect
from pgqueue.db.translate import describe, is_connection_loss, one_line, translate
from pgqueue.errors import SchemaError
from pgqueue.ops.core import Statement
from pgqueue.worker.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgqueue.config import Settings
    from pgqueue.db.run import AsyncConnection
    from pgqueue.ops.core import Op, Row

T = TypeVar("T")

PART: Final = "claim"
PLAN: Final = Statement("plan_by_index", {})

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
READ_ONLY: Final = "the server is read-only: a standby, or no longer the primary"
ANSWER: Final = 30.0
"""A round trip that takes longer than this is taken for a dead connection."""


class SessionLost(Exception):
    """The connection broke during a round trip: what was sent may have happened."""


class Session:
    """One connection, and round trips of several statements on it.

    The statements of a round trip are one transaction: a claim comes with the outcomes
    before it, or neither happens.

    Args:
        outage: told when the connection breaks, and when there is one again.

    Attributes:
        busy: a round trip is under way.
    """

    def __init__(self, settings: Settings, outage: Outage | None = None) -> None:
        self._settings = settings
        self._outage = outage or Outage()
        self._connection: AsyncConnection | None = None
        self.busy = False

    async def exchange(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """Send statements in one round trip and return the rows of each.

        Raises:
            SessionLost: the connection broke; whether it happened is not known.
            SchemaError: the schema is gone.
            psycopg.Error: the server refused a statement; nothing happened.
        """
        connection = await self._connected()
        self.busy = True
        try:
            async with asyncio.timeout(ANSWER):
                return await self._pipeline(connection, statements)
        except (psycopg.Error, OSError, TimeoutError) as error:
            lost = isinstance(error, TimeoutError) or is_connection_loss(error)
            if lost or connection.closed or not isinstance(error, psycopg.Error):
                self._drop()
                self._outage.lost(PART, error)
                raise SessionLost(str(error).strip()) from error
            better = translate(error, describe(self._settings.dsn))
            if isinstance(better, SchemaError):
                raise better from error
            raise
        finally:
            self.busy = False

    async def run(self, op: Op[T]) -> T:
        """Run an operation, a round trip a statement; again if the connection breaks."""
        rows: list[Row] | None = None
        while True:
            try:
                statement = next(op) if rows is None else op.send(rows)
            except StopIteration as stop:
                value: T = stop.value
                return value
            [rows] = await self._again([statement])

    async def drive(self, op: Op[T]) -> T:
        """Run an operation, a transaction a statement, each planned by index.

        Raises:
            SessionLost: the connection broke; whether a statement happened is not known.
        """
        rows: list[Row] | None = None
        while True:
            try:
                statement = next(op) if rows is None else op.send(rows)
            except StopIteration as stop:
                value: T = stop.value
                return value
            [_, rows] = await self.exchange([PLAN, statement])

    async def _again(self, statements: Sequence[Statement]) -> list[list[Row]]:
        while True:
            try:
                return await self.exchange(statements)
            except SessionLost:
                continue
            except psycopg.errors.LockNotAvailable as error:
                # A queue that somebody makes in a transaction which goes on and on.
                telemetry.emit("database.locked", error=one_line(error))

    async def _pipeline(
        self, connection: AsyncConnection, statements: Sequence[Statement]
    ) -> list[list[Row]]:
        schema = self._settings.schema
        cursors = []
        broke: BaseException | None = None
        try:
            async with connection.pipeline():
                try:
                    for statement in statements:
                        cursor = connection.cursor(row_factory=tuple_row)
                        text = sql.load(statement.name, schema)
                        await cursor.execute(text, statement.params, prepare=True)
                        cursors.append(cursor)
                except BaseException as error:  # noqa: BLE001  raised below
                    # Were it raised through the pipeline, psycopg would log what the
                    # way out of it raises on top.
                    broke = error
        except Exception:
            if broke is None:
                raise
        if broke is not None:
            raise broke
        return [
            await cursor.fetchall() if cursor.description else [] for cursor in cursors
        ]

    async def _connected(self) -> AsyncConnection:
        """Return the connection; while the server is away, try again for ever."""
        if self._connection is not None:
            return self._connection
        pause = FIRST_PAUSE
        while True:
            try:
                self._connection = await self._open()
            except (psycopg.Error, OSError) as error:
                self._outage.lost(PART, error, again_within=pause)
                # Full jitter: a fleet does not come back at the same instant.
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311
                pause = min(LONGEST_PAUSE, pause * 2)
            else:
                self._outage.works(PART)
                return self._connection

    async def _open(self) -> AsyncConnection:
        connection = await connect(self._settings)
        try:
            await self._prepare(connection)
        except BaseException:
            # Cancelled by a stop, or broken again: nobody else will close it.
            connection.pgconn.finish()
            raise
        return connection

    async def _prepare(self, connection: AsyncConnection) -> None:
        await connection.execute(sql.load("read_committed"))
        answer = await connection.execute(sql.load("read_only"))
        if await answer.fetchone() == (True,):
            # After a fail-over it may be writable, or another, at the next try.
            raise psycopg.errors.ReadOnlySqlTransaction(READ_ONLY)

    def _drop(self) -> None:
        """Let go of a connection that is of no more use, without waiting for it."""
        if self._connection is not None:
            self._connection.pgconn.finish()
            self._connection = None

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()
