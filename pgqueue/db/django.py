"""Django's connections: how Django would use one, and what it wants to be told.

Nothing of Django is imported before the application has.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from pgqueue.db import kinds
from pgqueue.errors import UnsupportedConnection

INERROR: Final = 3
"""What libpq calls PQTRANS_INERROR; both drivers use its numbers."""


def of_django(given: Any) -> Any:
    """Return Django's connection, or that of an alias, connected and fit for use.

    Raises:
        UnsupportedConnection: it is to no PostgreSQL.
        TransactionManagementError: its `atomic()` is broken by an earlier error.
    """
    wrapper = by_alias(given) if isinstance(given, str) else given
    if wrapper.vendor != "postgresql":
        raise UnsupportedConnection(
            wrapper,
            f"a Django connection to PostgreSQL, this one is to {wrapper.vendor}",
        )
    # What Django looks at before a cursor of its own.
    wrapper.validate_thread_sharing()
    wrapper.ensure_connection()
    wrapper.validate_no_broken_transaction()
    return wrapper


def by_alias(alias: str) -> Any:
    """Return Django's connection of an alias.

    Raises:
        UnsupportedConnection: there is no Django, or no such alias.
    """
    if "django" not in sys.modules:
        raise UnsupportedConnection(
            alias, f"{kinds.SYNC}, once Django is set up; a DSN goes to dsn="
        )
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415
    from django.db import connections  # noqa: PLC0415
    from django.utils.connection import ConnectionDoesNotExist  # noqa: PLC0415

    try:
        return connections[alias]
    except ConnectionDoesNotExist as error:
        raise UnsupportedConnection(
            alias, f"{kinds.SYNC}, which are {', '.join(sorted(connections))}"
        ) from error
    except ImproperlyConfigured as error:
        raise UnsupportedConnection(
            alias, f"{kinds.SYNC}, once Django's settings are configured"
        ) from error


def note_error(wrapper: Any, error: Exception) -> None:
    """Let Django know what it would know had it run the statement itself."""
    lent = wrapper.connection
    if lent is None or lent.closed:
        # Django looks whether the connection still works before the next request.
        wrapper.errors_occurred = True
    elif wrapper.in_atomic_block and lent.info.transaction_status == INERROR:
        # Or the block would end with a COMMIT that the server turns into a rollback,
        # and nobody would be told that its writes are lost.
        wrapper.needs_rollback = True
        wrapper.rollback_exc = error
