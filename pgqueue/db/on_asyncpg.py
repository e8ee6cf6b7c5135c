"""Drive an operation on a caller's asyncpg connection, as `db.run` does on psycopg's.

The server tells asyncpg the type of each parameter, so values go out as they are. Codecs
that the caller set do not reach us: our statements are prepared without them, which is
no public call of asyncpg, but the one with which it reads the catalogue itself.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from pgqueue import sql
from pgqueue.db.translate import explain, fault_of
from pgqueue.ops.core import Atomic, Op, Row, Statement

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from pgqueue.errors import PgQueueError

T = TypeVar("T")

PARAMETER: Final = re.compile(r"%\((\w+)\)s(::)?|%%")


class Connection(Protocol):
    """What is used of asyncpg's connection, which is not imported for its type."""

    def is_in_transaction(self) -> bool: ...
    def is_closed(self) -> bool: ...
    def transaction(self) -> AbstractAsyncContextManager[Any]: ...


@cache
def numbered(
    name: str, schema: str, strings: frozenset[str]
) -> tuple[str, tuple[str, ...]]:
    """Return a statement as asyncpg takes it, and its parameters in their order.

    Args:
        strings: the parameters that are text. Where one is cast, to an array for
            instance, the text is what is sent and the server casts it.
    """
    order: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        name, cast = found.groups()
        if name is None:
            return "%"
        place = f"${order.setdefault(name, len(order) + 1)}"
        if name in strings and cast:
            place += "::text"
        return place + (cast or "")

    text = PARAMETER.sub(number, sql.load(name, schema).decode())
    return text, tuple(order)


async def run(connection: Connection, op: Op[T] | Atomic[T], schema: str) -> T:
    """Run an operation's statements one after the other and return its value.

    Raises:
        asyncpg.PostgresError: the server refused, and the driver's error says it best.
    """
    if isinstance(op, Atomic):
        return await run_atomic(connection, op, schema)
    rows: list[Row] | None = None
    while True:
        try:
            statement = next(op) if rows is None else op.send(rows)
        except StopIteration as stop:
            value: T = stop.value
            return value
        try:
            rows = await execute(connection, statement, schema)
        except BaseException:
            op.close()
            raise


async def execute(
    connection: Connection, statement: Statement, schema: str
) -> list[Row]:
    """Run one statement and return its rows."""
    name, params = statement
    strings = frozenset(key for key in params if isinstance(params[key], str))
    text, order = numbered(name, schema, strings)
    values = [params[key] for key in order]
    try:
        return [tuple(row) for row in await fetch(connection, name, text, values)]
    except Exception as error:
        if better := translated(error, connection):
            raise better from error
        raise


async def fetch(connection: Any, name: str, text: str, values: list[Any]) -> list[Any]:
    """Send one statement; those that are planned anew leave nothing prepared behind."""
    from asyncpg import Record  # noqa: PLC0415
    from asyncpg.prepared_stmt import (  # noqa: PLC0415
        PreparedStatement,
    )

    own = {"ignore_custom_codec": True, "record_class": Record}
    if name not in sql.PLANNED_ANEW:
        rows: list[Any] = await connection._execute(text, values, 0, None, **own)  # noqa: SLF001  see above
        return rows
    state = await connection._get_statement(  # noqa: SLF001  see above
        text, None, named="", use_cache=False, **own
    )
    anew: list[Any] = await PreparedStatement(connection, text, state).fetch(*values)
    return anew


async def run_atomic(connection: Connection, atomic: Atomic[T], schema: str) -> T:
    """Run an operation whose statements stand or fall together."""
    if not connection.is_in_transaction():
        async with connection.transaction():
            value = await run(connection, atomic.op, schema)
        if atomic.then is not None:
            await run(connection, atomic.then, schema)
        return value
    if not atomic.savepoint:
        return await run(connection, atomic.op, schema)
    # Not `connection.transaction()`: it refuses a transaction that was begun by hand.
    await execute(connection, Statement("savepoint", {}), schema)
    try:
        value = await run(connection, atomic.op, schema)
    except BaseException:
        if not connection.is_closed():
            await execute(connection, Statement("rollback_to_savepoint", {}), schema)
            await execute(connection, Statement("release_savepoint", {}), schema)
        raise
    await execute(connection, Statement("release_savepoint", {}), schema)
    return value


def translated(error: Exception, connection: Connection) -> PgQueueError | None:
    """Return our error for asyncpg's; None to let it pass."""
    code: str | None = getattr(error, "sqlstate", None)
    lost = not code and (isinstance(error, OSError) or connection.is_closed())
    fault = fault_of(error, code, lost=lost)
    fault = fault._replace(detail=getattr(error, "detail", None) or "")
    return explain(fault, "the database")
