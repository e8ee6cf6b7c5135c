"""Handlers in a context of their app, in this process or in a child that makes it anew."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pickle import PicklingError
from typing import TYPE_CHECKING, Any, Final

from flask.cli import ScriptInfo

from pgqueue.worker.handlers import is_async

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

KEY: Final = "pgqueue"
"""Of the app's `extensions`."""


@dataclass(frozen=True, slots=True)
class Origin:
    """How `flask` found an app.

    Attributes:
        path: what `--app` or `FLASK_APP` said; None: it looked for wsgi.py and app.py.
    """

    path: str | None


class InContext:
    """A `def` handler whose every run has an app context of its own.

    A child process is sent its name, and finds the app as `flask` did.
    """

    def __init__(
        self,
        app: Flask,
        origin: Origin | None,
        name: str,
        handler: Callable[..., Any],
    ) -> None:
        self._app = app
        self._origin = origin
        self._name = name
        self._handler = handler

    def __call__(self, job: Any) -> Any:
        with self._app.app_context():
            return self._handler(job)

    def __reduce__(self) -> tuple[Callable[[Origin, str], InContext], tuple[Any, ...]]:
        if self._origin is None:
            raise PicklingError(
                "a child process has to make the Flask app anew, and only the command "
                "`flask` knows how: run the worker by `flask --app … pgqueue worker`"
            )
        return restore, (self._origin, self._name)


class AsyncInContext(InContext):
    """The same for an `async def` handler."""

    async def __call__(self, job: Any) -> Any:
        with self._app.app_context():
            return await self._handler(job)


def in_context(
    app: Flask, origin: Origin | None, name: str, handler: Callable[..., Any]
) -> InContext:
    """Return a handler that runs in contexts of an app."""
    kind = AsyncInContext if is_async(handler) else InContext
    return kind(app, origin, name, handler)


@cache
def make_app(origin: Origin) -> Flask:
    """Return the app of a child process, made once."""
    return ScriptInfo(app_import_path=origin.path).load_app()


def restore(origin: Origin, name: str) -> InContext:
    """Return the handler of a name in a child process."""
    app = make_app(origin)
    _, handler = app.extensions[KEY].extension._handlers[name]  # noqa: SLF001
    return in_context(app, origin, name, handler)
