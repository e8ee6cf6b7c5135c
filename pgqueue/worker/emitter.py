"""Worker events: listeners may be sync or async, and none can hurt the worker."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Final, TypeVar

from pgqueue import telemetry
from pgqueue.db.translate import is_outage
from pgqueue.errors import ConfigError
from pgqueue.worker.outage import Outage
from pgqueue.worker.outcome import describe, headline

Listener = Callable[..., Any]
L = TypeVar("L", bound=Listener)

EVENTS: Final = (
    "active",
    "completed",
    "failed",
    "progress",
    "stalled",
    "retrying",
    "drained",
    "paused",
    "resumed",
    "error",
    "closing",
    "closed",
    "lease_lost",
)


def check_event(event: object) -> None:
    """Raise unless there is such an event.

    Raises:
        ConfigError: there is none, or the decorator lacks its parentheses.
    """
    if callable(event):
        raise ConfigError.bad("event", event, 'a text: @worker.on("completed")')
    if event not in EVENTS:
        raise ConfigError.bad("event", event, f"one of {', '.join(EVENTS)}")


class Emitter:
    """The listeners of one worker; called on its loop.

    Attributes:
        outage: whether the database answers the worker; may be told in any thread.
    """

    def __init__(self) -> None:
        self.outage = Outage()
        self._listeners: dict[str, tuple[Listener, ...]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def on(self, event: str, listener: Listener) -> None:
        """Call *listener* on every *event*.

        Raises:
            ConfigError: there is no such event.
        """
        check_event(event)
        self._listeners[event] = (*self._listeners.get(event, ()), listener)

    def off(self, event: str, listener: Listener) -> None:
        """Stop calling *listener*; nothing happens if it was not there."""
        kept = [one for one in self._listeners.get(event, ()) if one is not listener]
        self._listeners[event] = tuple(kept)

    def heard(self, event: str) -> bool:
        """Whether anybody listens; spares hot paths building arguments."""
        return bool(self._listeners.get(event))

    def emit(self, event: str, *args: object) -> None:
        """Call the listeners; an async one runs as a task of its own."""
        for listener in self._listeners.get(event, ()):
            try:
                answer = listener(*args)
            except BaseException as error:  # noqa: BLE001  a listener is user code
                self._complain(event, error)
                continue
            if inspect.isawaitable(answer):
                task = asyncio.ensure_future(self._follow(event, answer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def error(self, error: BaseException, during: str) -> None:
        """Report what went wrong outside any job."""
        text = headline(error, describe(error))
        telemetry.emit("worker.error", during=during, error=text)
        self.emit("error", error)

    def trouble(self, error: BaseException, part: str) -> None:
        """Report why a part of the worker failed that tries again by itself.

        That the database is away is no error of this part, and is told once for all.
        """
        if is_outage(error):
            self.outage.lost(part, error)
            self.emit("error", error)
        else:
            self.outage.works(part)
            self.error(error, part)

    async def settle(self, patience: float) -> None:
        """Wait, but not for ever, until the async listeners have returned."""
        deadline = asyncio.get_running_loop().time() + patience
        while self._tasks:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                for task in self._tasks:
                    task.cancel()
                return
            await asyncio.wait(self._tasks, timeout=left)

    async def _follow(self, event: str, answer: Any) -> None:
        try:
            await answer
        except BaseException as error:  # noqa: BLE001  a listener is user code
            self._complain(event, error)

    def _complain(self, event: str, error: BaseException) -> None:
        if event == "error":
            text = headline(error, describe(error))
            telemetry.emit("worker.error", during="error listener", error=text)
        else:
            self.error(error, f"{event} listener")
