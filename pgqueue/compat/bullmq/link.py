"""How BullMQ's objects reach the database, and wake each other within a loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from pgqueue import options
from pgqueue.compat.bullmq.known import check_backend
from pgqueue.compat.bullmq.options import dsn_of, qualified_name
from pgqueue.shells.base import AsyncCaller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgqueue.config import Settings
    from pgqueue.ops.core import Atomic, Course, Op

T = TypeVar("T")

PATIENCE: Final = 5.0
"""How long a call waits for a follower that was made just before it (seconds)."""


class Neighbours:
    """What one loop has: workers to ring, followers that are about to subscribe."""

    def __init__(self) -> None:
        self.bells: WeakSet[Bell] = WeakSet()
        self.subscribing: set[asyncio.Task[None]] = set()


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Neighbours] = WeakKeyDictionary()


def neighbours() -> Neighbours:
    """Return what the running loop has."""
    return _loops.setdefault(asyncio.get_running_loop(), Neighbours())


class Bell:
    """Wakes a worker or a follower of a queue when something was done here."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self._rung = asyncio.Event()
        neighbours().bells.add(self)

    def ring(self) -> None:
        """Wake who waits."""
        self._rung.set()

    async def wait(self, seconds: float) -> bool:
        """Wait to be rung, at most so long; return whether it was."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True


def ring(*queues: str) -> None:
    """Wake who waits for something in these queues, on this loop."""
    for bell in list(neighbours().bells):
        if bell.queue in queues:
            bell.ring()


class Link(AsyncCaller):
    """One object's way to the database.

    Args:
        name: of the queue, without prefix.
        opts: the object's options, of which `prefix` and `connection` count.

    Raises:
        ConfigError: another backend is asked for.
        UnsupportedConnection: `connection` is no DSN.
    """

    def __init__(self, name: str, opts: Mapping[str, Any]) -> None:
        check_backend(opts)
        super().__init__(dsn=dsn_of(opts.get("connection")))
        self.queue = options.check_name(
            qualified_name(opts.get("prefix"), name), "queue name"
        )

    @property
    def settings(self) -> Settings:
        """Where the database is."""
        return self._settings

    @property
    def size_limit(self) -> int:
        """The largest data of one job, in bytes of JSON."""
        return self._limit

    async def run(self, op: Op[T] | Atomic[T], *queues: str) -> T:
        """Run an operation, then wake who waits for something in the queues.

        Followers that were made before see what it does.
        """
        waiting = set(neighbours().subscribing)
        if waiting:
            await asyncio.wait(waiting, timeout=PATIENCE)
        value = await self._run(op, None)
        ring(self.queue, *queues)
        return value

    async def read(self, op: Op[T] | Atomic[T]) -> T:
        """Run an operation that changes nothing."""
        return await self._run(op, None)

    async def walk(self, course: Course[T]) -> T:
        """Run operations with pauses between them."""
        return await self._walk(course, None)
