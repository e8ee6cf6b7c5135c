"""Connections for the transactions of one worker's handlers; kept for the next one.

Apart from the pool of the process: a handler that holds one of these for long, and calls
a queue meanwhile, must not wait for itself. There are as many as run at once.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from pgqueue.db.async_pool import AsyncPool
from pgqueue.db.connect import (
    bad_dsn,
    configure,
    connect_options,
    is_quiet,
    mark_used,
    unreachable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pgqueue.config import Settings
    from pgqueue.db.run import AsyncConnection, SyncConnection

UNLIMITED = 1_000_000


class Spare:
    """Connections to one DSN, for threads and for one loop.

    Args:
        keep: keep them, until `close`; otherwise each is closed after its use.
    """

    def __init__(self, settings: Settings, *, keep: bool = True) -> None:
        self._settings = settings
        self._keep = keep
        self._lock = threading.Lock()
        self._idle: list[SyncConnection] = []
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._awaited: AsyncPool | None = None

    @contextmanager
    def lend(self) -> Iterator[SyncConnection]:
        """Lend a connection that commits by itself.

        Raises:
            ConfigError: the DSN cannot be read.
            DatabaseUnavailable: the server does not answer.
        """
        lent = self._take()
        try:
            yield lent
        finally:
            self._give(lent)

    @asynccontextmanager
    async def alend(self) -> AsyncIterator[AsyncConnection]:
        """Do what `lend` does, awaiting; on a loop of a handler's own it keeps none."""
        loop = asyncio.get_running_loop()
        if self._awaited is None and self._keep:
            self._loop, self._awaited = loop, AsyncPool(self._settings, UNLIMITED)
        pool = self._awaited
        if pool is None or loop is not self._loop:
            pool = AsyncPool(self._settings)
        lent = await pool.take()
        try:
            yield lent
        finally:
            lent.row_factory = tuple_row
            await pool.give(lent)
            if pool is not self._awaited:
                await pool.close()

    async def close(self) -> None:
        """Close what is not lent, and what is when it comes back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for one in idle:
            one.close()
        if self._awaited is not None:
            await self._awaited.close()

    def _take(self) -> SyncConnection:
        while True:
            with self._lock:
                lent = self._idle.pop() if self._idle else None
            if lent is None:
                return self._open()
            if is_quiet(lent) or works(lent):
                return lent

    def _give(self, lent: SyncConnection) -> None:
        mark_used(lent)
        lent.row_factory = tuple_row
        with self._lock:
            idle = lent.info.transaction_status == TransactionStatus.IDLE
            if idle and lent.autocommit and self._keep and not self._closed:
                self._idle.append(lent)
                return
        lent.close()

    def _open(self) -> SyncConnection:
        try:
            new = psycopg.connect(self._settings.dsn, **connect_options(self._settings))
        except psycopg.ProgrammingError as error:
            raise bad_dsn(error, self._settings.dsn) from None
        except psycopg.OperationalError as error:
            raise unreachable(self._settings, error) from error
        try:
            configure(new)
        except BaseException:
            new.close()
            raise
        return new


def works(lent: SyncConnection) -> bool:
    """Try a connection that was idle; close it if it does not work."""
    try:
        lent.execute("")
    except psycopg.Error:
        lent.close()
        return False
    return True
