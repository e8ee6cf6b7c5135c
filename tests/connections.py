"""The caller's side of every accepted kind of connection, with calls that block."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any, ClassVar, cast

import asyncpg
import psycopg
import psycopg2
import sqlalchemy as sa
import sqlmodel
from django.conf import settings
from django.db import connections, transaction
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.ext import asyncio as sa_async
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlmodel.ext.asyncio import session as sqlmodel_async

import django
from pgqueue import AsyncFlowProducer, AsyncQueue, FlowProducer, Queue
from shells import Blocking

if TYPE_CHECKING:
    from collections.abc import Callable

aliases = (f"case{n}" for n in itertools.count())


class Kind:
    """One kind: `given` goes to `connection=`, the rest is what its user does.

    Attributes:
        opens: how many connections the caller has open while it is in a transaction.
    """

    asynchronous: ClassVar = False
    given: Any

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.stack = ExitStack()
        self.open()

    def open(self) -> None: ...
    def execute(self, text: str) -> Any: ...

    def begin(self) -> None:
        """Begin, where that is not done by itself."""

    def commit(self) -> None:
        self.given.commit()

    def rollback(self) -> None:
        self.given.rollback()

    def undo(self, act: Callable[[], object]) -> None:
        """Do something in a savepoint that is rolled back."""
        self.execute("SAVEPOINT mine")
        act()
        self.execute("ROLLBACK TO SAVEPOINT mine")

    def queue(self, name: str = "paint") -> Queue:
        return Queue(name, dsn=self.dsn)

    def flows(self) -> FlowProducer:
        return FlowProducer(dsn=self.dsn)

    def close(self) -> None:
        self.stack.close()


class AsyncKind(Kind):
    asynchronous = True

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.stack = ExitStack()
        self.runner = asyncio.Runner()
        self.late = AsyncExitStack()
        self.wait(self.aopen())

    def wait(self, awaitable: Any) -> Any:
        async def waiting() -> Any:
            return await awaitable

        return self.runner.run(waiting())

    async def aopen(self) -> None: ...

    def commit(self) -> None:
        self.wait(self.given.commit())

    def rollback(self) -> None:
        self.wait(self.given.rollback())

    def queue(self, name: str = "paint") -> Queue:
        return cast("Queue", Blocking(AsyncQueue(name, dsn=self.dsn), self.runner))

    def flows(self) -> FlowProducer:
        made = Blocking(AsyncFlowProducer(dsn=self.dsn), self.runner)
        return cast("FlowProducer", made)

    def close(self) -> None:
        self.wait(self.late.aclose())
        self.runner.close()


class Psycopg(Kind):
    def open(self) -> None:
        self.given = self.stack.enter_context(psycopg.connect(self.dsn))

    def execute(self, text: str) -> Any:
        return self.given.execute(text)


class PsycopgCursor(Kind):
    def open(self) -> None:
        self.connection = self.stack.enter_context(psycopg.connect(self.dsn))
        self.given = self.connection.cursor()

    def execute(self, text: str) -> Any:
        return self.given.execute(text)

    def commit(self) -> None:
        self.connection.commit()

    def rollback(self) -> None:
        self.connection.rollback()


class PsycopgAsync(AsyncKind):
    async def aopen(self) -> None:
        self.connection = await psycopg.AsyncConnection.connect(self.dsn)
        await self.late.enter_async_context(self.connection)
        self.given: Any = self.connection

    def execute(self, text: str) -> Any:
        return self.wait(self.given.execute(text))

    def commit(self) -> None:
        self.wait(self.connection.commit())

    def rollback(self) -> None:
        self.wait(self.connection.rollback())


class PsycopgAsyncCursor(PsycopgAsync):
    async def aopen(self) -> None:
        await super().aopen()
        self.given = self.connection.cursor()


class Psycopg2(Kind):
    def open(self) -> None:
        self.connection = self.given = psycopg2.connect(self.dsn)
        self.stack.callback(self.connection.close)

    def execute(self, text: str) -> Any:
        with self.connection.cursor() as cursor:
            cursor.execute(text)

    def commit(self) -> None:
        self.connection.commit()

    def rollback(self) -> None:
        self.connection.rollback()


class Psycopg2Cursor(Psycopg2):
    def open(self) -> None:
        super().open()
        self.given = self.connection.cursor()


class Asyncpg(AsyncKind):
    OPTIONS: ClassVar[dict[str, Any]] = {}

    async def aopen(self) -> None:
        parts = conninfo_to_dict(self.dsn)
        parts["database"] = parts.pop("dbname")
        self.given = await asyncpg.connect(**parts, **self.OPTIONS)
        self.late.push_async_callback(self.given.close)
        self.transaction: Any = None

    def execute(self, text: str) -> Any:
        return self.wait(self.given.execute(text))

    def begin(self) -> None:
        self.transaction = self.given.transaction()
        self.wait(self.transaction.start())

    def commit(self) -> None:
        self.wait(self.transaction.commit())

    def rollback(self) -> None:
        self.wait(self.transaction.rollback())

    def undo(self, act: Callable[[], object]) -> None:
        nested = self.given.transaction()
        self.wait(nested.start())
        act()
        self.wait(nested.rollback())


class AsyncpgUncached(Asyncpg):
    """As behind a pooler that shares server connections: nothing stays prepared."""

    OPTIONS: ClassVar = {"statement_cache_size": 0}


class AsyncpgPooled(Asyncpg):
    async def aopen(self) -> None:
        parts = conninfo_to_dict(self.dsn)
        parts["database"] = parts.pop("dbname")
        pool = asyncpg.create_pool(**parts, min_size=1, max_size=1)
        await self.late.enter_async_context(pool)
        self.given = await self.late.enter_async_context(pool.acquire())
        self.transaction = None


class Alchemy(Kind):
    """A connection of SQLAlchemy's."""

    DRIVER: ClassVar = "psycopg"
    OPTIONS: ClassVar[dict[str, Any]] = {}

    def engine(self) -> sa.Engine:
        url = url_of(self.dsn, self.DRIVER)
        engine = sa.create_engine(url, connect_args=self.OPTIONS)
        self.stack.callback(engine.dispose)
        return engine

    def open(self) -> None:
        self.given = self.stack.enter_context(self.engine().connect())

    def execute(self, text: str) -> Any:
        return self.given.execute(sa.text(text))

    def undo(self, act: Callable[[], object]) -> None:
        nested = self.given.begin_nested()
        act()
        nested.rollback()


class AlchemySession(Alchemy):
    def open(self) -> None:
        self.given = self.stack.enter_context(Session(self.engine()))


class AlchemyScoped(Alchemy):
    def open(self) -> None:
        self.given = scoped_session(sessionmaker(self.engine()))
        self.stack.callback(self.given.remove)


class SqlModel(Alchemy):
    def open(self) -> None:
        self.given = self.stack.enter_context(sqlmodel.Session(self.engine()))

    def execute(self, text: str) -> Any:
        return self.given.connection().execute(sa.text(text))


class FlaskSession(Alchemy):
    def open(self) -> None:
        app = Flask("shop")
        app.config["SQLALCHEMY_DATABASE_URI"] = url_of(self.dsn, self.DRIVER)
        database = SQLAlchemy(app)
        self.stack.enter_context(app.app_context())
        self.stack.callback(database.engine.dispose)
        self.given = database.session
        self.stack.callback(self.given.remove)


class AlchemyAsync(AsyncKind):
    DRIVER: ClassVar = "psycopg"
    OPTIONS: ClassVar[dict[str, Any]] = {}

    def engine(self) -> sa_async.AsyncEngine:
        url = url_of(self.dsn, self.DRIVER)
        engine = sa_async.create_async_engine(url, connect_args=self.OPTIONS)
        self.late.push_async_callback(engine.dispose)
        return engine

    async def aopen(self) -> None:
        self.given = await self.late.enter_async_context(self.engine().connect())

    def execute(self, text: str) -> Any:
        return self.wait(self.given.execute(sa.text(text)))

    def undo(self, act: Callable[[], object]) -> None:
        async def start() -> Any:
            return await self.given.begin_nested()

        nested = self.wait(start())
        act()
        self.wait(nested.rollback())


class AlchemyAsyncSession(AlchemyAsync):
    async def aopen(self) -> None:
        session = sa_async.AsyncSession(self.engine())
        self.given = await self.late.enter_async_context(session)


class SqlModelAsync(AlchemyAsync):
    async def aopen(self) -> None:
        session = sqlmodel_async.AsyncSession(self.engine())
        self.given = await self.late.enter_async_context(session)

    def execute(self, text: str) -> Any:
        async def execute() -> Any:
            return await (await self.given.connection()).execute(sa.text(text))

        return self.wait(execute())


class AlchemyAsyncScoped(AlchemyAsync):
    async def aopen(self) -> None:
        make = sa_async.async_sessionmaker(self.engine())
        self.given = sa_async.async_scoped_session(make, scopefunc=lambda: 1)
        self.late.push_async_callback(self.given.remove)


class Django(Kind):
    """Django's connection, in an `atomic()` that the test opens and ends."""

    OPTIONS: ClassVar[dict[str, Any]] = {}

    def open(self) -> None:
        if not settings.configured:
            settings.configure(DATABASES={}, USE_TZ=True)
            django.setup()
        parts = conninfo_to_dict(self.dsn)
        self.alias = next(aliases)
        connections.settings[self.alias] = connections.configure_settings(
            {
                "default": {},
                self.alias: {
                    "ENGINE": "django.db.backends.postgresql",
                    "NAME": parts["dbname"],
                    "USER": parts.get("user", ""),
                    "PASSWORD": parts.get("password", ""),
                    "HOST": parts.get("host", ""),
                    "PORT": parts.get("port", ""),
                    "OPTIONS": self.OPTIONS,
                },
            }
        )[self.alias]
        self.wrapper = connections[self.alias]
        self.given: Any = self.wrapper
        self.stack.callback(self.wrapper.close)
        self.atomic: Any = None

    def execute(self, text: str) -> Any:
        with self.wrapper.cursor() as cursor:
            cursor.execute(text)

    def begin(self) -> None:
        self.atomic = transaction.atomic(self.alias)
        self.atomic.__enter__()

    def commit(self) -> None:
        self.atomic.__exit__(None, None, None)

    def rollback(self) -> None:
        self.wrapper.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    def undo(self, act: Callable[[], object]) -> None:
        with transaction.atomic(self.alias):
            act()
            transaction.set_rollback(True, self.alias)


class DjangoAlias(Django):
    def open(self) -> None:
        super().open()
        self.given = self.alias


def url_of(dsn: str, driver: str) -> str:
    """Return a DSN as SQLAlchemy takes it."""
    parts = conninfo_to_dict(dsn)
    url = sa.URL.create(
        f"postgresql+{driver}",
        username=parts.get("user"),
        password=parts.get("password"),
        database=parts.get("dbname"),
        query={key: str(parts[key]) for key in ("host", "port") if parts.get(key)},
    )
    return url.render_as_string(hide_password=False)


def on(kind: type[Any], driver: str, **options: Any) -> type[Any]:
    """Return the same kind on another driver, or with other options of it."""
    name = "_".join([kind.__name__, driver, *options])
    return type(name, (kind,), {"DRIVER": driver, "OPTIONS": options})


ALCHEMY = (Alchemy, AlchemySession, AlchemyScoped, SqlModel, FlaskSession)
ALCHEMY_ASYNC = (AlchemyAsync, AlchemyAsyncSession, AlchemyAsyncScoped, SqlModelAsync)
KINDS: list[type[Kind]] = [
    *(Psycopg, PsycopgCursor, PsycopgAsync, PsycopgAsyncCursor),
    *(Psycopg2, Psycopg2Cursor),
    *(Asyncpg, AsyncpgUncached, AsyncpgPooled),
    *(on(kind, driver) for kind in ALCHEMY for driver in ("psycopg", "psycopg2")),
    *(on(kind, driver) for kind in ALCHEMY_ASYNC for driver in ("psycopg", "asyncpg")),
    *(Django, DjangoAlias),
]
