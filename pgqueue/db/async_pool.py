"""Async connections of our own: one pool a running loop and DSN.

Without tasks in the background: a loop that ends finds none that it would have to
cancel, and a connection that cannot be opened fails the call that needs it.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

import psycopg
from psycopg.pq import TransactionStatus

from pgqueue import sql
from pgqueue.db.connect import (
    all_lent,
    bad_dsn,
    connect,
    is_quiet,
    mark_used,
    unreachable,
    unused_for,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pgqueue.config import Settings
    from pgqueue.db.run import AsyncConnection

MAX_SIZE: Final = 10
CHECKOUT: Final = 30.0
IDLE: Final = 300.0


class AsyncPool:
    """The connections of one loop to one DSN, *size* of them at most."""

    def __init__(self, settings: Settings, size: int = MAX_SIZE) -> None:
        self.pid = os.getpid()
        self.users: WeakSet[object] = WeakSet()
        self._settings = settings
        self._size = size
        self._room = asyncio.Semaphore(size)
        self._idle: list[AsyncConnection] = []
        self._closed = False

    async def take(self) -> AsyncConnection:
        """Return a connection that works, for `give` to take back.

        Raises:
            ConfigError: the DSN cannot be read.
            DatabaseUnavailable: nothing answers there, or all connections stay lent.
        """
        try:
            async with asyncio.timeout(CHECKOUT):
                await self._room.acquire()
        except TimeoutError as error:
            raise all_lent(self._settings, self._size, CHECKOUT) from error
        try:
            while self._idle:
                lent = self._idle.pop()
                if is_quiet(lent) or await works(lent):
                    return lent
            return await self._open()
        except BaseException:
            self._room.release()
            raise

    async def give(self, lent: AsyncConnection) -> None:
        """Keep a connection for the next call, unless it is in no state for that."""
        status = lent.info.transaction_status
        if self._closed or status != TransactionStatus.IDLE:
            await lent.close()
        else:
            mark_used(lent)
            self._idle.append(lent)
        while self._idle and unused_for(self._idle[0]) > IDLE:
            await self._idle.pop(0).close()
        self._room.release()

    async def close(self) -> None:
        """Close what is not lent, and what is when it comes back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()

    def finish(self) -> None:
        """Do what `close` does after the loop has ended.

        In a forked child the sockets are the parent's, and stay as they are.
        """
        self._closed = True
        while self._idle:
            lent = self._idle.pop()
            if self.pid == os.getpid():
                lent.pgconn.finish()

    async def _open(self) -> AsyncConnection:
        try:
            new = await connect(self._settings)
        except psycopg.ProgrammingError as error:
            raise bad_dsn(error, self._settings.dsn) from None
        except psycopg.OperationalError as error:
            raise unreachable(self._settings, error) from error
        # As psycopg's own pools say it: ending with the program is no leak.
        new._pool = None  # noqa: SLF001
        try:
            await new.execute(sql.load("read_committed"))
        except BaseException:
            await new.close()
            raise
        return new


async def works(lent: AsyncConnection) -> bool:
    """Try a connection that was idle; close it if it does not work."""
    try:
        await lent.execute("")
    except psycopg.Error:
        await lent.close()
        return False
    except BaseException:
        await lent.close()
        raise
    return True


class AsyncPools:
    """The async pools of this process, by loop and DSN."""

    def __init__(self) -> None:
        self._loops: dict[asyncio.AbstractEventLoop, dict[Settings, AsyncPool]] = {}

    def get(self, settings: Settings, user: object) -> AsyncPool:
        """Return the running loop's pool of a DSN, and note that *user* needs it."""
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            self.forget_closed_loops()
        mine = self._loops.setdefault(loop, {})
        pool = mine.get(settings)
        if pool is None or pool.pid != os.getpid():
            pool = mine[settings] = AsyncPool(settings)
        pool.users.add(user)
        return pool

    async def leave(self, settings: Settings, user: object) -> None:
        """Close the running loop's pool of a DSN once nobody needs it."""
        mine = self._loops.get(asyncio.get_running_loop(), {})
        pool = mine.get(settings)
        if pool is None or pool.pid != os.getpid():
            return
        pool.users.discard(user)
        if not pool.users:
            del mine[settings]
            await pool.close()

    def forget_closed_loops(self) -> None:
        """Close what loops left open that ended without `close`."""
        # Other threads run loops too, and change this meanwhile.
        for loop in list(self._loops):
            if loop.is_closed():
                for pool in self._loops.pop(loop, {}).values():
                    pool.finish()


async_pools: Final = AsyncPools()


@asynccontextmanager
async def aconnection(
    settings: Settings, user: object
) -> AsyncIterator[AsyncConnection]:
    """Lend a connection that commits by itself.

    Raises:
        ConfigError: the DSN cannot be read.
        DatabaseUnavailable: the server does not answer, or all connections stay lent.
    """
    pool = async_pools.get(settings, user)
    lent = await pool.take()
    try:
        yield lent
    finally:
        await pool.give(lent)
