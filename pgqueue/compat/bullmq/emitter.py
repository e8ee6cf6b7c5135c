"""Listeners of a worker or a follower: sync functions, and none can hurt the caller."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from pgqueue import telemetry
from pgqueue.errors import ConfigError
from pgqueue.worker.outcome import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    Listener = Callable[..., Any]


BEFORE: Final = {"failed": "active", "completed": "active"}
"""The state before, for listeners that take one argument more, as in Node."""


class EventEmitter:
    """Calls listeners in the order in which they were added."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}

    def on(self, event_name: str, function: Listener) -> None:
        """Call *function* on every *event_name*.

        Raises:
            ConfigError: it is no function, or an async one: nobody would await it.
        """
        given: object = function
        if not callable(given) or inspect.iscoroutinefunction(given):
            raise ConfigError.bad("listener", function, "a function that is not async")
        self._listeners.setdefault(event_name, []).append(function)

    def off(self, event_name: str, function: Listener) -> None:
        """Stop calling *function*; a method of the same object is the same one."""
        left = self._listeners.get(event_name, [])
        self._listeners[event_name] = [one for one in left if one != function]

    def emit(self, event: str, *args: Any) -> None:
        """Call the listeners; one that raises is logged and disturbs nobody."""
        listeners = list(self._listeners.get(event, ()))
        if event == "error" and not listeners:
            telemetry.emit(
                "worker.error", during="compat.bullmq", error=describe(args[0])
            )
        for listener in listeners:
            try:
                listener(*fitting(listener, event, args))
            except Exception as error:  # noqa: BLE001  a listener is user code
                during = f"{event} listener"
                telemetry.emit("worker.error", during=during, error=describe(error))


def fitting(listener: Listener, event: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments of an event, with the state before if it is asked for."""
    if event not in BEFORE:
        return args
    try:
        inspect.signature(listener).bind(*args)
    except TypeError:
        return (*args, BEFORE[event])
    except ValueError:
        return args
    return args
