"""`job.transaction()` in tests: on a connection of the test's it is a savepoint."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NoReturn

from pgqueue.db import given, kinds
from pgqueue.db.borrow import arun_on, run_on
from pgqueue.errors import ConfigError
from pgqueue.ops.core import Op, Statement
from pgqueue.worker.committer import Committer, Terms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from pgqueue.worker.finisher import Finisher


class TestCommitter(Committer):
    """Completes jobs where the test is: in its transaction, or in a real one.

    Args:
        pool: of the queue, if it has one.
        lent: the connection that the test's transaction is on, if it is in one.
        asynchronous: it is awaited.
    """

    __test__ = False

    def __init__(
        self,
        terms: Terms,
        finisher: Finisher,
        *,
        pool: Any,
        lent: Any,
        asynchronous: bool,
    ) -> None:
        super().__init__(terms, finisher, lambda _job: None, keep=False)
        self._pool = pool
        self._lent = lent
        self._asynchronous = asynchronous

    def lend(self) -> AbstractContextManager[Any]:
        """Lend the test's connection, or one of the queue's."""
        if self._asynchronous and (self._lent is not None or self._pool is not None):
            self._refuse("with", "run_pending")
        if self._lent is not None:
            return nullcontext(self._lent)
        return super().lend() if self._pool is None else given.lend(self._pool)

    def alend(self) -> AbstractAsyncContextManager[Any]:
        """Do what `lend` does, awaiting."""
        if is_django(self._lent):
            raise ConfigError(
                "`async with job.transaction()` cannot be on Django's connection, where "
                "this test is; run it in a TransactionTestCase, or in a `def` handler"
            )
        if not self._asynchronous and (
            self._lent is not None or self._pool is not None
        ):
            self._refuse("async with", "arun_pending")
        if self._lent is not None:
            return nullcontext(self._lent)
        return super().alend() if self._pool is None else given.alend(self._pool)

    def enclose(self, connection: object) -> AbstractContextManager[None]:
        """Return a block that ends with a savepoint, in the test's transaction."""
        if self._lent is None:
            return super().enclose(connection)
        return saved(connection, self.schema)

    def aenclose(self, connection: object) -> AbstractAsyncContextManager[None]:
        """Do what `enclose` does, awaiting."""
        if self._lent is None:
            return super().aenclose(connection)
        return asaved(connection, self.schema)

    def _refuse(self, word: str, other: str) -> NoReturn:
        raise ConfigError(
            f"`{word} job.transaction()` needs {other}: the test's connection, or the "
            "queue's pool, is of the other kind"
        )


def send(name: str) -> Op[None]:
    """Send one statement without parameters."""
    yield Statement(name, {})


def is_django(connection: object) -> bool:
    """Whether a connection is Django's."""
    return bool(kinds.kinds(connection) & kinds.DJANGO)


@contextmanager
def saved(connection: object, schema: str) -> Iterator[None]:
    """Take back to a savepoint what is done in a block that fails."""
    if is_django(connection):
        from django.db import transaction  # noqa: PLC0415  optional

        with transaction.atomic(connection.alias):  # type: ignore[attr-defined]
            yield
        return
    run_on(connection, send("savepoint"), schema)
    try:
        yield
    except BaseException:
        run_on(connection, send("rollback_to_savepoint"), schema)
        run_on(connection, send("release_savepoint"), schema)
        raise
    run_on(connection, send("release_savepoint"), schema)


@asynccontextmanager
async def asaved(connection: object, schema: str) -> AsyncIterator[None]:
    """Do what `saved` does, awaiting."""
    await arun_on(connection, send("savepoint"), schema)
    try:
        yield
    except BaseException:
        await arun_on(connection, send("rollback_to_savepoint"), schema)
        await arun_on(connection, send("release_savepoint"), schema)
        raise
    await arun_on(connection, send("release_savepoint"), schema)
