"""Drive an operation on a caller's psycopg2 connection, as `db.run` does on psycopg's.

Values go out as literals without a type, and come in through casts of our own cursor:
adapters and casts that the caller registered do not reach us, nor ours the caller.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from pgqueue import sql
from pgqueue.db.text import as_text
from pgqueue.db.translate import describe, explain, fault_of
from pgqueue.ops.core import Atomic, Op, Row, Statement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgqueue.errors import PgQueueError

T = TypeVar("T")

IDLE: Final = 0
"""What psycopg2 calls TRANSACTION_STATUS_IDLE."""


class Connection(Protocol):
    """What is used of psycopg2's connection, which is not imported for its type."""

    autocommit: bool
    closed: int
    dsn: str
    OperationalError: type[Exception]
    InterfaceError: type[Exception]

    def cursor(self, *, cursor_factory: Any) -> Any: ...
    def get_transaction_status(self) -> int: ...


@cache
def extensions() -> Any:
    """Return `psycopg2.extensions`; whoever has a connection has imported it."""
    import psycopg2.extensions  # noqa: PLC0415

    return psycopg2.extensions


@cache
def casts() -> tuple[Any, ...]:
    """Return what reads the types that our statements return."""
    ext = extensions()
    return (
        *(ext.INTEGER, ext.LONGINTEGER, ext.FLOAT, ext.BOOLEAN, ext.PYDATETIMETZ),
        *(ext.UNICODE, ext.LONGINTEGERARRAY, ext.UNICODEARRAY),
    )


class Literal:
    """A value as an untyped literal: its place in the statement gives it a type."""

    def __init__(self, value: object) -> None:
        text = as_text(value)
        self._quoted = None if text is None else extensions().QuotedString(text)

    def __conform__(self, _protocol: object) -> Literal:
        return self

    def prepare(self, connection: Connection) -> None:
        """Learn how the connection encodes and quotes."""
        if self._quoted is not None:
            self._quoted.prepare(connection)

    def getquoted(self) -> bytes:
        """Return what stands in the statement; the space keeps it from what precedes."""
        return b" NULL" if self._quoted is None else b" " + self._quoted.getquoted()


def literals(params: Mapping[str, object]) -> dict[str, Literal]:
    """Return parameters as psycopg2 takes them."""
    return {name: Literal(value) for name, value in params.items()}


def run(connection: Connection, op: Op[T] | Atomic[T], schema: str) -> T:
    """Run an operation's statements one after the other and return its value.

    Raises:
        psycopg2.Error: the server refused, and the driver's error says it best.
    """
    if isinstance(op, Atomic):
        return run_atomic(connection, op, schema)
    rows: list[Row] | None = None
    while True:
        try:
            statement = next(op) if rows is None else op.send(rows)
        except StopIteration as stop:
            value: T = stop.value
            return value
        try:
            rows = execute(connection, statement, schema)
        except BaseException:
            op.close()
            raise


def execute(connection: Connection, statement: Statement, schema: str) -> list[Row]:
    """Run one statement and return its rows."""
    ext = extensions()
    try:
        # A plain cursor, whatever factory the connection has; not `with`: nothing that
        # it does not close by itself, and a broken connection cannot close it.
        cursor = connection.cursor(cursor_factory=ext.cursor)
        for cast in casts():
            ext.register_type(cast, cursor)
        cursor.execute(sql.load(statement.name, schema), literals(statement.params))
        rows: list[Row] = cursor.fetchall() if cursor.description else []
        cursor.close()
    except Exception as error:
        if better := translated(error, connection):
            raise better from error
        raise
    return rows


def run_atomic(connection: Connection, atomic: Atomic[T], schema: str) -> T:
    """Run an operation whose statements stand or fall together."""
    inside = not connection.closed and connection.get_transaction_status() != IDLE
    if (inside or not connection.autocommit) and not atomic.savepoint:
        return run(connection, atomic.op, schema)
    if inside or not connection.autocommit:
        begin, undo, end = "savepoint", "rollback_to_savepoint", "release_savepoint"
    else:
        begin, undo, end = "begin_transaction", "rollback_transaction", ""
    execute(connection, Statement(begin, {}), schema)
    try:
        value = run(connection, atomic.op, schema)
    except BaseException:
        if not connection.closed:
            execute(connection, Statement(undo, {}), schema)
            if end:
                execute(connection, Statement(end, {}), schema)
        raise
    execute(connection, Statement(end or "commit_transaction", {}), schema)
    if atomic.then is not None and not end:
        run(connection, atomic.then, schema)
    return value


def translated(error: Exception, connection: Connection) -> PgQueueError | None:
    """Return our error for psycopg2's, naming the server; None to let it pass."""
    code: str | None = getattr(error, "pgcode", None)
    kinds = (connection.OperationalError, connection.InterfaceError)
    lost = not code and isinstance(error, kinds)
    fault = fault_of(error, code, lost=lost)
    if diag := getattr(error, "diag", None):
        fault = fault._replace(detail=diag.message_detail or "")
    return explain(fault, describe(connection.dsn))
