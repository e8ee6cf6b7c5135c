"""`PgQueue`: the extension that an app factory initialises."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import Flask, current_app
from werkzeug.local import LocalProxy

from pgqueue import options
from pgqueue.errors import ConfigError
from pgqueue.flask.command import command
from pgqueue.flask.config import settings_of
from pgqueue.flask.context import KEY, in_context
from pgqueue.flask.joining import InSession, SessionFlowProducer, SessionQueue
from pgqueue.worker import Worker
from pgqueue.worker.handlers import check_handler

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgqueue.flask.context import Origin
    from pgqueue.flow import FlowProducer
    from pgqueue.queue import Queue

H = TypeVar("H", bound="Callable[..., Any]")
J = TypeVar("J", bound=InSession)


class PgQueue:
    """Jobs of a Flask app: `jobs = PgQueue()`, then `jobs.init_app(app)`.

    The database is `app.config["PGQUEUE_DSN"]`, else `SQLALCHEMY_DATABASE_URI`, else
    that of the environment. Its other keys that begin with `PGQUEUE_` win over the
    environment too.

    Args:
        app: an app to initialise at once.
        session: Flask-SQLAlchemy's `db.session`, or another that gives SQLAlchemy's
            `connection()`. Jobs are then added in its transaction.

    Raises:
        ConfigError: the app is none, or the session.
    """

    def __init__(self, app: Flask | None = None, *, session: Any = None) -> None:
        if session is not None and not callable(getattr(session, "connection", None)):
            raise ConfigError.bad("session", session, "a session such as db.session")
        self._session = session
        self._handlers: dict[str, tuple[str, Callable[..., Any]]] = {}
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Let an app use the queues, and have the command `flask pgqueue`.

        Raises:
            ConfigError: it is no app.
        """
        if not isinstance(app, Flask):
            allowed = "a Flask app; a session is given by name: session=db.session"  # type: ignore[unreachable]
            raise ConfigError.bad("app", app, allowed)
        app.extensions[KEY] = State(self, app)
        app.cli.add_command(command, "pgqueue")

    def queue(self, name: str) -> Queue:
        """Return a queue of whichever app is current when it is used.

        It can be made at import, before there is an app.

        Raises:
            ConfigError: the name cannot be one of a queue.
        """
        checked = options.check_name(name, "queue name")
        found = LocalProxy(lambda: self._state().queue(checked))
        return cast("Queue", found)

    def flows(self) -> FlowProducer:
        """Return what adds flows for whichever app is current when it is used."""
        return cast("FlowProducer", LocalProxy(lambda: self._state().flows()))

    def handler(self, queue: str, name: str) -> Callable[[H], H]:
        """Let a function run the jobs of a name, in a context of the app.

        The context is new for each run, so a session that Flask-SQLAlchemy made for
        it is removed at its end. What was not committed by then is rolled back.

        Raises:
            ConfigError: a name is not valid, or has a handler already.
        """
        options.check_name(queue, "queue name")
        options.check_name(name, "name")
        if name in self._handlers:
            raise ConfigError.bad("name", name, "one handler for each name")

        def register(handler: H) -> H:
            check_handler(handler)
            self._handlers[name] = (queue, handler)
            return handler

        return register

    def worker(self, app: Flask, **given: Any) -> Worker:
        """Return a worker of the queues that have handlers, with options of `Worker`.

        Raises:
            ConfigError: nothing has a handler, or an option is out of its range.
        """
        queues = list(dict.fromkeys(queue for queue, _ in self._handlers.values()))
        if not queues:
            raise ConfigError(
                "this app has no handler; decorate a function with"
                " @jobs.handler(queue, name), in a module that the app imports"
            )
        worker, settings = Worker(queues, **given), settings_of(app)
        if given.get("dsn") is not None:
            settings = replace(settings, dsn=worker.settings.dsn)
        worker.settings = settings
        state = app.extensions.get(KEY)
        origin = state.origin if isinstance(state, State) else None
        for name, (_, handler) in self._handlers.items():
            worker.handler(name)(in_context(app, origin, name, handler))
        return worker

    def _state(self) -> State:
        state = current_app.extensions.get(KEY)
        if not isinstance(state, State) or state.extension is not self:
            raise ConfigError("this app does not know the queue; call init_app(app)")
        return state


class State:
    """What one app keeps: its queues.

    Attributes:
        origin: how `flask` found the app, if a command of it runs.
    """

    def __init__(self, extension: PgQueue, app: Flask) -> None:
        self.extension = extension
        self.origin: Origin | None = None
        self._app = app
        self._queues: dict[str, SessionQueue] = {}
        self._flows: SessionFlowProducer | None = None

    def queue(self, name: str) -> SessionQueue:
        """Return the app's queue of a name."""
        found = self._queues.get(name)
        if found is None:
            found = self._queues[name] = self._placed(SessionQueue(name))
        return found

    def flows(self) -> SessionFlowProducer:
        """Return what adds flows for the app."""
        if self._flows is None:
            self._flows = self._placed(SessionFlowProducer())
        return self._flows

    def _placed(self, made: J) -> J:
        """Say where the app's database is, and which session it joins."""
        made._settings = settings_of(self._app)  # noqa: SLF001
        made._session = self.extension._session  # noqa: SLF001
        return made
