"""Connections of our own: one pool a process and DSN, opened on first use.

Fork-safe: a child finds no pool under its pid and makes one. The parent's pools stay
referenced there, untouched, so that nothing closes sockets the parent still uses.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from pgqueue.db.async_pool import CHECKOUT, MAX_SIZE, aconnection, async_pools
from pgqueue.db.connect import (
    all_lent,
    aprobe,
    bad_dsn,
    configure,
    connect,
    connect_options,
    is_quiet,
    mark_used,
    probe,
    unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgqueue.config import Settings
    from pgqueue.db.run import SyncConnection

__all__ = [
    "aconnection",
    "aprobe",
    "async_pools",
    "bad_dsn",
    "connect",
    "connect_options",
    "connection",
    "pools",
    "probe",
    "unreachable",
]

PATIENCE: Final = 1.0
"""Nobody gave a connection back for this long: see whether the server still answers."""


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
        mark_used(lent)
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
                raise all_lent(settings, MAX_SIZE, CHECKOUT) from error
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
