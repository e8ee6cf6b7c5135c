"""A transaction on what a caller calls a connection, from its beginning to its commit.

The only code that commits, or rolls back, what is not ours: a handler asks for it with
`job.transaction(connection=…)`. What is in a transaction by itself goes on in it; what is
inside another block, at whose end it would commit, is refused.
"""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.pq import TransactionStatus

from pgqueue.db import kinds, on_psycopg2
from pgqueue.db.borrow import unsupported
from pgqueue.db.django import of_django
from pgqueue.db.translate import is_loss
from pgqueue.db.unwrap import aunwrap, unwrap
from pgqueue.errors import ConfigError
from pgqueue.ops.core import Statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from pgqueue.db.run import AsyncConnection, SyncConnection

OUTER: Final = (
    "connection= is inside another transaction block already, so the end of "
    "`job.transaction()` could not commit it; let it be the outermost block"
)
AUTOCOMMIT: Final = (
    "connection= commits each statement by itself (SQLAlchemy's AUTOCOMMIT, or Django's "
    "AUTOCOMMIT=False): `job.transaction()` needs one that it can commit"
)


def enclose(given: object) -> AbstractContextManager[None]:
    """Return a block that ends with the commit of what was given, or its rollback.

    Raises:
        UnsupportedConnection: it is none of the accepted kinds.
        ConfigError: its transaction is not the block's to end; raised as it begins.
    """
    found = kinds.kinds(given)
    if isinstance(given, str) or found & kinds.DJANGO:
        return by_django(given)
    if found & kinds.SESSIONS or kinds.CONNECTION in found:
        return by_alchemy(given, found)
    driver: Any = given
    if isinstance(driver, (psycopg.Cursor, psycopg.ServerCursor)):
        driver = driver.connection
    if isinstance(driver, psycopg.Connection):
        return by_psycopg(driver)
    if kinds.PSYCOPG2_CURSOR in found:
        return by_psycopg2(driver.connection)
    if kinds.PSYCOPG2 in found:
        return by_psycopg2(driver)
    raise unsupported(given, given, kinds.SYNC)


def aenclose(given: object) -> AbstractAsyncContextManager[None]:
    """Do what `enclose` does, awaiting."""
    found = kinds.kinds(given)
    if found & kinds.ASYNC_SESSIONS or kinds.ASYNC_CONNECTION in found:
        return aby_alchemy(given, found)
    driver: Any = given
    if isinstance(driver, (psycopg.AsyncCursor, psycopg.AsyncServerCursor)):
        driver = driver.connection
    if isinstance(driver, psycopg.AsyncConnection):
        return aby_psycopg(driver)
    if found & kinds.ASYNCPG:
        return by_asyncpg(driver)
    raise unsupported(given, given, kinds.ASYNC)


def flush(given: object) -> None:
    """Send what a session of SQLAlchemy's keeps for its commit."""
    if kinds.kinds(given) & kinds.SESSIONS:
        given.flush()  # type: ignore[attr-defined]


async def aflush(given: object) -> None:
    """Do what `flush` does, awaiting."""
    if kinds.kinds(given) & kinds.ASYNC_SESSIONS:
        await given.flush()  # type: ignore[attr-defined]


@contextmanager
def whole(given: Any) -> Iterator[None]:
    """End whatever transaction *given* is in by its own `commit` and `rollback`."""
    try:
        yield
        given.commit()
    except BaseException:
        # What went wrong is told by the error, not by what its rollback comes to.
        with suppress(Exception):
            given.rollback()
        raise


@asynccontextmanager
async def awhole(given: Any) -> AsyncIterator[None]:
    """Do what `whole` does, awaiting."""
    try:
        yield
        await given.commit()
    except BaseException:
        with suppress(Exception):
            await given.rollback()
        raise


@contextmanager
def by_psycopg(connection: SyncConnection) -> Iterator[None]:
    refuse_outer(connection)
    with connection.transaction() if connection.autocommit else whole(connection):
        yield


@asynccontextmanager
async def aby_psycopg(connection: AsyncConnection) -> AsyncIterator[None]:
    refuse_outer(connection)
    if connection.autocommit:
        async with connection.transaction():
            yield
    else:
        async with awhole(connection):
            yield


def refuse_outer(connection: SyncConnection | AsyncConnection) -> None:
    """Raise `ConfigError` if a connection of psycopg's is in a block of its caller's."""
    status = connection.info.transaction_status
    begun = connection.autocommit and status == TransactionStatus.INTRANS
    blocks: object = getattr(connection, "_num_transactions", 0)
    if begun or blocks:
        raise ConfigError(OUTER)


@contextmanager
def by_psycopg2(connection: Any) -> Iterator[None]:
    if not connection.autocommit:
        with whole(connection):
            yield
        return
    if connection.get_transaction_status() != on_psycopg2.IDLE:
        raise ConfigError(OUTER)
    with whole(Begun(connection)):
        yield


class Begun:
    """A transaction that is begun by hand on a psycopg2 connection in autocommit."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._send("begin_transaction")

    def commit(self) -> None:
        self._send("commit_transaction")

    def rollback(self) -> None:
        self._send("rollback_transaction")

    def _send(self, name: str) -> None:
        on_psycopg2.execute(self._connection, Statement(name, {}), "pgqueue")


@asynccontextmanager
async def by_asyncpg(connection: Any) -> AsyncIterator[None]:
    if connection.is_in_transaction():
        raise ConfigError(OUTER)
    async with connection.transaction():
        yield


@contextmanager
def by_alchemy(given: Any, found: AbstractSet[str]) -> Iterator[None]:
    refuse_nested(given, found & kinds.SESSIONS)
    driver = unwrap(given, found)
    if getattr(driver, "autocommit", False):
        raise ConfigError(AUTOCOMMIT)
    with whole(given):
        yield


@asynccontextmanager
async def aby_alchemy(given: Any, found: AbstractSet[str]) -> AsyncIterator[None]:
    refuse_nested(given, found & kinds.ASYNC_SESSIONS)
    driver = await aunwrap(given, found)
    if kinds.kinds(driver) & kinds.ASYNCPG:
        begun = driver.is_in_transaction()
    else:
        begun = not driver.autocommit
    if not begun:
        raise ConfigError(AUTOCOMMIT)
    async with awhole(given):
        yield


def refuse_nested(given: Any, session: object) -> None:
    """Raise `ConfigError` if a commit would end a savepoint only."""
    # A scoped session says nothing of its own transaction.
    one = given() if hasattr(given, "registry") else given
    if one.in_nested_transaction():
        raise ConfigError(OUTER)
    bound = kinds.kinds(one.bind) if session else set()
    if bound & {kinds.CONNECTION, kinds.ASYNC_CONNECTION}:
        raise ConfigError(
            "connection= got a session that is bound to a connection, which may have a "
            "transaction of its own: give a session of an engine, or that connection"
        )


@contextmanager
def by_django(given: object) -> Iterator[None]:
    wrapper = of_django(given)
    if wrapper.in_atomic_block:
        raise ConfigError(OUTER)
    if not wrapper.get_autocommit():
        raise ConfigError(AUTOCOMMIT)
    from django.db import transaction  # noqa: PLC0415  whoever has it has imported it

    with transaction.atomic(using=wrapper.alias):
        yield


def is_refusal(error: BaseException | None) -> bool:
    """Whether the server refused a commit, rather than that its answer was lost.

    Libraries keep the driver's error as `orig` or as the cause of their own.
    """
    for one in chain(error):
        code = getattr(one, "sqlstate", None) or getattr(one, "pgcode", None)
        if isinstance(code, str):
            return not is_loss(code)
    return False


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Return an error and those that it came from."""
    for _ in range(sys.getrecursionlimit()):
        if error is None:
            return
        yield error
        error = getattr(error, "orig", None) or error.__cause__
