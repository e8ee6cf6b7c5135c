"""Run operations on Django's own connection, as a part of its transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.connection import ConnectionProxy

from pgqueue.db.borrow import run_on
from pgqueue.django.conf import site

if TYPE_CHECKING:
    from pgqueue.ops.core import Atomic, Op

T = TypeVar("T")


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
        UnsupportedConnection: the alias is not PostgreSQL.
        TransactionManagementError: the block is broken by an earlier error.
    """
    return run_on(connections[alias], op, site().schema)


def is_joined(alias: str) -> bool:
    """Whether this thread is in a transaction of that database."""
    return not connections[alias].get_autocommit()
