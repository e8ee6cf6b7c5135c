"""One test body for `Queue` and `AsyncQueue`: an adapter that blocks."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, cast

import psycopg

from pgqueue import AsyncFlowProducer, AsyncQueue, FlowProducer, Queue

if TYPE_CHECKING:
    from collections.abc import Callable


class Blocking:
    """An object whose coroutine methods are called like functions."""

    def __init__(self, asynchronous: Any, runner: asyncio.Runner) -> None:
        self._asynchronous = asynchronous
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._asynchronous, name)
        if not inspect.iscoroutinefunction(member):
            return member

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._runner.run(member(*args, **kwargs))

        return call


class Shells:
    """Makes queues and connections of one kind, sync or async; closes them."""

    def __init__(self, dsn: str, *, asynchronous: bool) -> None:
        self.dsn = dsn
        self.asynchronous = asynchronous
        self._runner = asyncio.Runner()
        self._closing: list[Callable[[], Any]] = []

    def queue(self, name: str = "paint", **options: Any) -> Queue:
        options.setdefault("dsn", self.dsn)
        if self.asynchronous:
            made = cast("Queue", Blocking(AsyncQueue(name, **options), self._runner))
        else:
            made = Queue(name, **options)
        self._closing.append(made.close)
        return made

    def flows(self, **options: Any) -> FlowProducer:
        options.setdefault("dsn", self.dsn)
        if self.asynchronous:
            flows = AsyncFlowProducer(**options)
            made = cast("FlowProducer", Blocking(flows, self._runner))
        else:
            made = FlowProducer(**options)
        self._closing.append(made.close)
        return made

    def connect(self, **options: Any) -> Any:
        """Return a connection of the shell's kind, and something that blocks on it."""
        if self.asynchronous:
            given = self._runner.run(
                psycopg.AsyncConnection.connect(self.dsn, **options)
            )
            blocking: Any = Blocking(given, self._runner)
            self._closing.append(blocking.close)
            return given, blocking
        connection = psycopg.connect(self.dsn, **options)
        self._closing.append(connection.close)
        return connection, connection

    def run(self, awaitable: Any) -> Any:
        """Wait for what an async method returned; a sync one has returned already."""
        if inspect.iscoroutine(awaitable):
            return self._runner.run(awaitable)
        return awaitable

    def close(self) -> None:
        for close in reversed(self._closing):
            close()
        self._runner.close()
