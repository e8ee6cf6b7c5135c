"""The pytest plugin: a migrated database, and connections whose work is taken back.

Nothing is started, and no database is looked for, until one of its fixtures is used.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from pgqueue.testing.server import Server


@pytest.fixture(scope="session")
def pgqueue_server() -> Iterator[Server]:
    """A PostgreSQL: `PGQUEUE_TEST_DSN`, a container if Docker answers, an embedded one."""
    from pgqueue.testing.server import find_server  # noqa: PLC0415

    with ExitStack() as cleanup:
        yield find_server(cleanup)


@pytest.fixture(scope="session")
def pgqueue_database(pgqueue_server: Server) -> Iterator[str]:
    """The DSN of a migrated database of this run's own; dropped at its end."""
    from pgqueue import migrate  # noqa: PLC0415

    name = f"pgqueue_{pgqueue_server.token}_user"
    dsn = pgqueue_server.create(name)
    migrate.upgrade(dsn)
    yield dsn
    pgqueue_server.drop(name)


@pytest.fixture
def pgqueue_connection(pgqueue_database: str) -> Iterator[Connection[Any]]:
    """A connection in a transaction that is rolled back after the test."""
    import psycopg  # noqa: PLC0415

    connection = psycopg.connect(pgqueue_database)
    yield connection
    if not connection.closed:
        connection.rollback()
        connection.close()


@pytest.fixture
def pgqueue_dsn(
    pgqueue_database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The DSN of the database, with pgqueue's tables empty; also `PGQUEUE_DSN`.

    They are emptied before and after the test; the application's own tables are not.
    """
    from pgqueue.shells import site  # noqa: PLC0415
    from pgqueue.testing.server import empty  # noqa: PLC0415

    monkeypatch.setenv("PGQUEUE_DSN", pgqueue_database)
    # Who asks for it means this database, in a project with Django too.
    monkeypatch.setattr(site, "_places", [])
    empty(pgqueue_database)
    yield pgqueue_database
    empty(pgqueue_database)
