"""Connections of our own: one pool a process and DSN, opened on first use.

Fork-safe: a child finds no pool under its pid and makes one. The parent's pools stay
referenced there, untouched, so that nothing closes sockets the parent still uses.
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import WeakKeyDictionary, WeakSet

import psycopg
from psycopg_pool import (
    AsyncConnectionPool,
    ConnectionPool,
    PoolClosed,
    PoolTimeout,
)

from pgqueue import sql
from pgqueue.db.translate import describe
from pgqueue.errors import ConfigError, DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pgqueue.config import Settings
    from pgqueue.db.run import AsyncConnection, SyncConnection

MAX_SIZE: Final = 10
CHECKOUT: Final = 30.0
PATIENCE: Final = 1.0
"""Nobody gave a connection back for this long: see whether the server still answers."""
FRESH: Final = 1.0
"""A connection unused for longer than this is tried before it is handed out."""
QUOTED: Final = re.compile(r'"[^"]*"')

Loop: TypeAlias = tuple[int, asyncio.AbstractEventLoop]

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
                    max_idle=300,
                    configure=configure,
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
    """Lend a connection that commits by itself.

    Raises:
        DatabaseUnavailable: the server does not answer, or all connections stay lent.
    """
    pool, lent = take(settings, user)
    try:
        yield lent
    finally:
        _used[lent] = time.monotonic()
        pool.putconn(lent)


def take(
    settings: Settings, user: object
) -> tuple[ConnectionPool[SyncConnection], SyncConnection]:
    """Take a connection that works out of the pool."""
    deadline = time.monotonic() + CHECKOUT
    while True:
        pool = pools.get(settings, user)
        try:
            lent = pool.getconn(PATIENCE)
        except PoolClosed:
            continue  # by another thread, since it was looked up
        except PoolTimeout as error:
            probe(settings)
            if time.monotonic() > deadline:
                raise all_lent(settings) from error
            continue
        if is_quiet(lent):
            return pool, lent
        try:
            ConnectionPool.check_connection(lent)
        except psycopg.Error:
            # The pool sees that it is broken and drops it.
            pool.putconn(lent)
        except BaseException:
            pool.putconn(lent)
            raise
        else:
            return pool, lent


def is_quiet(lent: SyncConnection | AsyncConnection) -> bool:
    """Whether a connection was used just now and its socket says nothing new.

    A server that ended the session has left its farewell, or an end of file, to read.
    """
    if time.monotonic() - _used.get(lent, 0.0) > FRESH:
        return False
    poll = select.poll()
    poll.register(lent.fileno(), select.POLLIN)
    return not poll.poll(0)


def configure(new: SyncConnection) -> None:
    """Make a new connection independent of the isolation that the database defaults to."""
    new.execute(sql.load("read_committed"))


def all_lent(settings: Settings) -> DatabaseUnavailable:
    """Return the error for a pool whose connections all stay in use."""
    return DatabaseUnavailable(
        f"no connection to {describe(settings.dsn)} came free in {CHECKOUT:.0f} s: "
        f"{MAX_SIZE} calls of this process are under way"
    )


def probe(settings: Settings) -> None:
    """Connect once, to learn why it does not work before a pool hides the reason."""
    try:
        psycopg.connect(settings.dsn, **connect_options(settings)).close()
    except psycopg.ProgrammingError as error:
        raise bad_dsn(error) from None
    except psycopg.OperationalError as error:
        raise unreachable(settings, error) from error


def bad_dsn(error: psycopg.Error) -> ConfigError:
    """Return the error for a DSN that libpq cannot read.

    What libpq quotes may be a part of a password, so it is left out, and so should be
    the cause: raise this `from None`.
    """
    reason = QUOTED.sub("…", str(error).strip())
    return ConfigError(
        f"the DSN cannot be read ({reason}); it looks like "
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
    """One async pool, who needs it, and what it opened."""

    pool: AsyncConnectionPool[AsyncConnection]
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: WeakSet[object] = field(default_factory=WeakSet)


class AsyncPools:
    """The async pools: one a running loop and DSN; nothing outlives its loop."""

    def __init__(self) -> None:
        self._loops: dict[
            asyncio.AbstractEventLoop, dict[tuple[int, Settings], Shared]
        ] = {}
        self._opened: WeakKeyDictionary[AsyncConnection, Loop] = WeakKeyDictionary()

    async def get(
        self, settings: Settings, user: object
    ) -> AsyncConnectionPool[AsyncConnection]:
        """Return the pool of a DSN for the running loop, opened.

        Raises:
            ConfigError: the DSN cannot be read.
            DatabaseUnavailable: nothing answers there.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            self.forget_closed_loops()
        mine = self._loops.setdefault(loop, {})
        key = (os.getpid(), settings)
        shared = mine.get(key)
        if shared is None:
            pool = AsyncConnectionPool(
                settings.dsn,
                kwargs=connect_options(settings),
                min_size=0,
                max_size=MAX_SIZE,
                max_idle=300,
                configure=self.configure,
                open=False,
                name="pgqueue",
            )
            shared = mine[key] = Shared(pool)
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

    async def configure(self, new: AsyncConnection) -> None:
        """Do what `configure` does, and note which loop the connection is of."""
        self._opened[new] = (os.getpid(), asyncio.get_running_loop())
        await new.execute(sql.load("read_committed"))

    def forget_closed_loops(self) -> None:
        """Close what loops left open that ended without `close`.

        Their pools cannot do it: that takes their loop. In a forked child the sockets
        are the parent's and stay as they are.
        """
        # Other threads run loops too, and change both.
        for loop in [loop for loop in list(self._loops) if loop.is_closed()]:
            self._loops.pop(loop, None)
        for connection, (pid, loop) in list(self._opened.items()):
            if loop.is_closed() and pid == os.getpid():
                connection.pgconn.finish()

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
    """Lend a connection that commits by itself, as `connection` does."""
    pool, lent = await atake(settings, user)
    try:
        yield lent
    finally:
        _used[lent] = time.monotonic()
        await pool.putconn(lent)


async def atake(
    settings: Settings, user: object
) -> tuple[AsyncConnectionPool[AsyncConnection], AsyncConnection]:
    """Do what `take` does, awaiting."""
    deadline = time.monotonic() + CHECKOUT
    while True:
        pool = await async_pools.get(settings, user)
        try:
            lent = await pool.getconn(PATIENCE)
        except PoolClosed:
            continue
        except PoolTimeout as error:
            await aprobe(settings)
            if time.monotonic() > deadline:
                raise all_lent(settings) from error
            continue
        if is_quiet(lent):
            return pool, lent
        try:
            await AsyncConnectionPool.check_connection(lent)
        except psycopg.Error:
            await pool.putconn(lent)
        except BaseException:
            await pool.putconn(lent)
            raise
        else:
            return pool, lent


async def aprobe(settings: Settings) -> None:
    """Do what `probe` does, awaiting."""
    try:
        await (await connect(settings)).close()
    except psycopg.ProgrammingError as error:
        raise bad_dsn(error) from None
    except psycopg.OperationalError as error:
        raise unreachable(settings, error) from error


async def connect(settings: Settings) -> AsyncConnection:
    """Open one connection outside any pool; the caller closes it."""
    return await psycopg.AsyncConnection.connect(
        settings.dsn, **connect_options(settings)
    )
