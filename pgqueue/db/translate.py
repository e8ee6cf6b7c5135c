"""From a driver's error to ours, where ours can say something better."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pgqueue.errors import (
    DatabaseUnavailable,
    JobNotFound,
    JobStateError,
    PayloadError,
    PgQueueError,
    SchemaError,
    StatementTimeout,
)

MISSING: Final = frozenset({"42P01", "3F000", "42883", "42703", "42P10"})
GONE: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25006", "25P03", "53300"})
CONFLICT: Final = frozenset({"40001", "40P01", "55P03"})


PARENT: Final = frozenset({"PQ001", "PQ002"})
"""Raised by `pgqueue.add_jobs`: a child's parent does not exist, or has finished."""

PASSING: Final = ("40", "53", "55", "57", "58", "XX", "54000")
"""Classes of errors that are not about what was sent, so that it may be sent again."""


def sqlstate(error: psycopg.Error) -> str:
    """Return the five-character code; empty when the server sent none."""
    return error.sqlstate or ""


def one_line(error: BaseException) -> str:
    """Return all that an error says on one line, as a log takes it."""
    return " ".join(str(error).split()) or repr(error)


def is_connection_loss(error: BaseException) -> bool:
    """Whether a connection that raised this is of no more use."""
    if not isinstance(error, psycopg.Error):
        return isinstance(error, OSError)
    code = sqlstate(error)
    if is_loss(code):
        return True
    return not code and isinstance(
        error, (psycopg.OperationalError, psycopg.InterfaceError)
    )


def is_outage(error: BaseException) -> bool:
    """Whether this, ours or the driver's, says that the database is not reachable.

    That all connections are lent is not the database's doing.
    """
    cause = error.__cause__ if isinstance(error, DatabaseUnavailable) else error
    return isinstance(cause, psycopg.Error) and is_connection_loss(cause)


def is_passing(error: BaseException) -> bool:
    """Whether the server refused for the moment: a conflict, no room, a time limit."""
    return isinstance(error, psycopg.Error) and sqlstate(error).startswith(PASSING)


class Fault(NamedTuple):
    """What went wrong in a driver, in no driver's own words.

    Attributes:
        code: the server's five characters; empty when it sent none.
        text: the first line of the message.
        detail: what the server added to it.
        lost: whether the connection is of no more use.
    """

    code: str
    text: str
    detail: str
    lost: bool


def fault_of(error: BaseException, code: str | None, *, lost: bool) -> Fault:
    """Return a driver's error in no driver's words, except for the server's detail."""
    text = str(error).strip()
    first = text.splitlines()[0] if text else repr(error)
    return Fault(code or "", first, "", lost or is_loss(code or ""))


def is_loss(code: str) -> bool:
    """Whether a connection on which the server said this is of no more use."""
    return code in GONE or code.startswith("08")


def translate(error: psycopg.Error, where: str) -> PgQueueError | None:
    """Return our error for psycopg's, or None to let it pass as it is.

    Args:
        where: names the server in the message, without any password.
    """
    fault = fault_of(error, error.sqlstate, lost=is_connection_loss(error))
    if fault.code in PARENT:
        fault = fault._replace(detail=error.diag.message_detail or "")
    return explain(fault, where)


def explain(  # noqa: PLR0911  one answer for each kind of error
    fault: Fault, where: str
) -> PgQueueError | None:
    """Return our error for what went wrong, or None if the driver's says it best."""
    code, text = fault.code, fault.text
    if code in MISSING:
        return SchemaError(
            f"{where} has no pgqueue schema, or another version of it ({text}); "
            "run: pgqueue migrate"
        )
    if code in PARENT:
        return parent_error(code, fault.detail or "{}")
    if code == "57014" and "timeout" in text:
        return StatementTimeout(f"{where} gave up: {text}; ask for less, or allow more")
    if code == "55P03" and "first used" in text:
        return StatementTimeout(
            f"{text}; commit that one first, or pass its connection as connection="
        )
    if code == "42501":
        return SchemaError(f"this role may not use pgqueue's schema in {where}: {text}")
    if code.startswith("22"):
        return PayloadError(f"PostgreSQL cannot store this: {text}")
    if fault.lost:
        return DatabaseUnavailable(
            f"{where} is not reachable, or the connection broke: {text}. A call that "
            "was under way may or may not have been carried out; adding with key= "
            "makes repeating it safe"
        )
    return None


def parent_error(code: str, detail: str) -> PgQueueError:
    """Return the error of an add under a parent that cannot have another child."""
    about = json.loads(detail)
    if code == "PQ001":
        return JobNotFound(about["id"], about["queue"])
    states = "waiting, delayed, active or waiting_children"
    return JobStateError(about["id"], about["state"], states, "given children")


def server_of(
    connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any],
) -> str:
    """Return words for the server that a connection is to, or was before it broke."""
    try:
        return describe(connection.info.dsn)
    except psycopg.Error:
        return "the database"


def describe(dsn: str) -> str:
    """Return words for a server: database, host and port, never a password."""
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error:
        return "the database"
    name = parts.get("dbname")
    database = f"database {name!r}" if name else "the default database"
    host = parts.get("host") or "the default host"
    port = parts.get("port")
    return f"{database} on {host}" + (f":{port}" if port else "")
