"""Run operations on Django's own connection, as a part of its transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.connection import ConnectionProxy
from psycopg.pq import TransactionStatus

from pgqueue.db.run import run
from pgqueue.django.conf import site
from pgqueue.errors import PgQueueError, UnsupportedConnection

if TYPE_CHECKING:
    from pgqueue.ops.core import Atomic, Op

T = TypeVar("T")

KINDS = "a Django alias of a PostgreSQL database with psycopg 3"


def alias_of(connection: object, default: str | None) -> str | None:
    """Return the alias that a call runs on; None if it is no business of Django.

    Args:
        connection: as the caller gave it: nothing, an alias, Django's connection, or
            one of a driver or SQLAlchemy.
        default: the alias of the queue; None for the configured one.
    """
    if connection is None:
        return default or site().database
    if isinstance(connection, str):
        return connection
    if isinstance(connection, (BaseDatabaseWrapper, ConnectionProxy)):
        return str(connection.alias)
    return None


def run_joined(op: Op[T] | Atomic[T], alias: str) -> T:
    """Run an operation on this thread's connection of an alias.

    In an `atomic()` block it is a part of it, otherwise every statement commits.

    Raises:
        UnsupportedConnection: the alias is not PostgreSQL with psycopg 3.
        TransactionManagementError: the block is broken by an earlier error.
    """
    wrapper = connections[alias]
    if wrapper.vendor != "postgresql":
        raise UnsupportedConnection(wrapper, KINDS)
    wrapper.validate_no_broken_transaction()
    wrapper.ensure_connection()
    lent = wrapper.connection
    if not isinstance(lent, psycopg.Connection):
        raise UnsupportedConnection(lent, KINDS)
    try:
        return run(lent, op, site().schema)
    except (psycopg.Error, PgQueueError) as error:
        note_error(wrapper, lent, error)
        raise


def note_error(wrapper: Any, lent: psycopg.Connection[Any], error: Exception) -> None:
    """Let Django know what it would know had it run the statement itself."""
    if lent.closed:
        # Django looks whether the connection still works before the next request.
        wrapper.errors_occurred = True
    if wrapper.in_atomic_block and status(lent) == TransactionStatus.INERROR:
        # Or the block would end with a COMMIT that the server turns into a rollback,
        # and nobody would be told that its writes are lost.
        wrapper.needs_rollback = True
        wrapper.rollback_exc = error


def status(lent: psycopg.Connection[Any]) -> TransactionStatus:
    return lent.info.transaction_status


def is_joined(alias: str) -> bool:
    """Whether this thread is in a transaction of that database."""
    return not connections[alias].get_autocommit()
