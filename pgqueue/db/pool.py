"""Connections of our own: one pool a process and DSN, opened on first use.

Fork-safe: a child finds no pool under its pid and makes one. The parent's pools stay
referenced there, untouched, so that nothing closes sockets the parent still uses.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, WeakSet

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from pgqueue.db.translate import describe
from pgqueue.errors import ConfigError, DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pgqueue.config import Settings
    from pgqueue.db.run import AsyncConnection, SyncConnection

MAX_SIZE: Final = 10
CHECKOUT: Final = 30.0
FRESH: Final = 1.0
"""A connection unused for longer than this is tried before it is handed out."""

_used: WeakKeyDictionary[Any, float] = WeakKeyDictionary()


def connect_options(settings: Settings) -> dict[str, Any]:
    """Return what every connection of ours is opened with."""
    return {
        "autocommit": True,
        "fallback_application_name": settings.app,
        "connect_timeout": 10,
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }


class Pools:
    """The sync pools of this process, by DSN; shared by all its queues."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[tuple[int, Settings], ConnectionPool[SyncConnection]] = {}
        self._users: dict[tuple[int, Settings], WeakSet[object]] = {}

    def get(self, settings: Settings, user: object) -> ConnectionPool[SyncConnection]:
        """Return the pool of a DSN, opened, and note that *user* needs it.

        Raises:
            ConfigError: the DSN cannot be read.
            DatabaseUnavailable: nothing answers there.
        """
        key = (os.getpid(), settings)
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                probe(settings)
                pool = ConnectionPool(
                    settings.dsn,
                    kwargs=connect_options(settings),
                    min_size=0,
                    max_size=MAX_SIZE,
                    timeout=CHECKOUT,
                    max_idle=300,
                    check=check,
                    open=True,
                    name="pgqueue",
                )
                self._pools[key] = pool
                self._users[key] = WeakSet()
            self._users[key].add(user)
            return pool

    def leave(self, settings: Settings, user: object) -> None:
        """Close the pool of a DSN once nobody needs it."""
        key = (os.getpid(), settings)
        with self._lock:
            users = self._users.get(key, WeakSet())
            users.discard(user)
            pool = self._pools.pop(key, None) if not users else None
        if pool is not None:
            pool.close()

    def reset_lock(self) -> None:
        """Forget a lock that another thread held at the moment of a fork."""
        self._lock = threading.Lock()


pools: Final = Pools()
os.register_at_fork(after_in_child=pools.reset_lock)


@contextmanager
def connection(settings: Settings, user: object) -> Iterator[SyncConnection]:
    """Lend a connection that commits by itself."""
    pool = pools.get(settings, user)
    try:
        with pool.connection() as lent:
            yield lent
            _used[lent] = time.monotonic()
    except PoolTimeout as error:
        probe(settings)
        raise DatabaseUnavailable(
            f"no connection to {describe(settings.dsn)} came free in {CHECKOUT:.0f} s"
        ) from error


def check(lent: SyncConnection) -> None:
    """Try a connection that was idle: a server that restarted closed it."""
    if time.monotonic() - _used.get(lent, 0.0) > FRESH:
        ConnectionPool.check_connection(lent)


def probe(settings: Settings) -> None:
    """Connect once, to learn why it does not work before a pool hides the reason."""
    try:
        psycopg.connect(settings.dsn, **connect_options(settings)).close()
    except psycopg.ProgrammingError as error:
        raise bad_dsn(error) from error
    except psycopg.OperationalError as error:
        raise unreachable(settings, error) from error


def bad_dsn(error: psycopg.Error) -> ConfigError:
    """Return the error for a DSN that libpq cannot read."""
    return ConfigError(
        f"the DSN cannot be read ({str(error).strip()}); it looks like "
        "postgresql://user@host:5432/name or host=… dbname=…"
    )


def unreachable(settings: Settings, error: psycopg.Error) -> DatabaseUnavailable:
    """Return the error for a server that does not answer, with libpq's reason."""
    reason = " ".join(str(error).split()) or repr(error)
    return DatabaseUnavailable(
        f"cannot connect to {describe(settings.dsn)}: {reason}; check "
        "PGQUEUE_DSN (or DATABASE_URL, PGHOST …) and that the server runs"
    )


@dataclass(slots=True)
class Shared:
    """One async pool and who needs it."""

    pool: AsyncConnectionPool[AsyncConnection]
    opening: asyncio.Lock
    users: WeakSet[object]


class AsyncPools:
    """The async pools: one a running loop and DSN; nothing outlives its loop."""

    def __init__(self) -> None:
        self._loops: WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[tuple[int, Settings], Shared]
        ] = WeakKeyDictionary()

    async def get(
        self, settings: Settings, user: object
    ) -> AsyncConnectionPool[AsyncConnection]:
        """Return the pool of a DSN for the running loop, opened."""
        mine = self._loops.setdefault(asyncio.get_running_loop(), {})
        key = (os.getpid(), settings)
        shared = mine.get(key)
        if shared is None:
            pool = AsyncConnectionPool(
                settings.dsn,
                kwargs=connect_options(settings),
                min_size=0,
                max_size=MAX_SIZE,
                timeout=CHECKOUT,
                max_idle=300,
                check=acheck,
                open=False,
                name="pgqueue",
            )
            shared = mine[key] = Shared(pool, asyncio.Lock(), WeakSet())
        shared.users.add(user)
        async with shared.opening:
            if shared.pool.closed:
                try:
                    await aprobe(settings)
                    await shared.pool.open()
                except BaseException:
                    mine.pop(key, None)
                    raise
        return shared.pool

    async def leave(self, settings: Settings, user: object) -> None:
        """Close the running loop's pool of a DSN once nobody needs it."""
        mine = self._loops.get(asyncio.get_running_loop(), {})
        key = (os.getpid(), settings)
        shared = mine.get(key)
        if shared is None:
            return
        shared.users.discard(user)
        if not shared.users:
            mine.pop(key, None)
            await shared.pool.close()


async_pools: Final = AsyncPools()


@asynccontextmanager
async def aconnection(
    settings: Settings, user: object
) -> AsyncIterator[AsyncConnection]:
    """Lend a connection that commits by itself."""
    pool = await async_pools.get(settings, user)
    try:
        async with pool.connection() as lent:
            yield lent
            _used[lent] = time.monotonic()
    except PoolTimeout as error:
        await aprobe(settings)
        raise DatabaseUnavailable(
            f"no connection to {describe(settings.dsn)} came free in {CHECKOUT:.0f} s"
        ) from error


async def acheck(lent: AsyncConnection) -> None:
    """Try a connection that was idle."""
    if time.monotonic() - _used.get(lent, 0.0) > FRESH:
        await AsyncConnectionPool.check_connection(lent)


async def aprobe(settings: Settings) -> None:
    """Do what `probe` does, awaiting."""
    try:
        await (await connect(settings)).close()
    except psycopg.ProgrammingError as error:
        raise bad_dsn(error) from error
    except psycopg.OperationalError as error:
        raise unreachable(settings, error) from error


async def connect(settings: Settings) -> AsyncConnection:
    """Open one connection outside any pool; the caller closes it."""
    return await psycopg.AsyncConnection.connect(
        settings.dsn, **connect_options(settings)
    )
