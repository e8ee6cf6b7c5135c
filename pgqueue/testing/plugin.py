"""The pytest plugin: a migrated database, and connections whose work is taken back.

Nothing is started, and no database is looked for, until one of its fixtures is used; with
`pgqueue_from_start`, before pytest imports anything of the application.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from pgqueue.testing.server import Server
    from pgqueue.testing.starting import Started

STARTED: pytest.StashKey[Started] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    text = (
        "make pgqueue's test database, and set PGQUEUE_DSN, before anything is imported"
    )
    parser.addini("pgqueue_from_start", text, type="bool", default=False)
    parser.getgroup("pgqueue").addoption(
        "--pgqueue-from-start", action="store_true", help=text
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    if not is_from_start(early_config):
        return
    from pgqueue.testing.starting import start  # noqa: PLC0415

    try:
        with ExitStack() as cleanup:
            early_config.stash[STARTED] = start(cleanup)
            early_config.add_cleanup(cleanup.pop_all().close)
    except Exception as error:
        # Without it the tests would be in the database of the environment.
        raise pytest.UsageError(f"pgqueue_from_start: no database: {error}") from error


def pytest_configure(config: pytest.Config) -> None:
    if is_from_start(config) and STARTED not in config.stash:
        raise pytest.UsageError(
            "pgqueue_from_start: the plugin was loaded after conftest.py; load it with "
            "-p pgqueue.testing.plugin in addopts, not with pytest_plugins"
        )


def is_from_start(config: pytest.Config) -> bool:
    early, late = config.known_args_namespace, config.option
    if getattr(early, "help", False) or getattr(early, "version", 0):
        return False
    flag = any(getattr(each, "pgqueue_from_start", False) for each in (early, late))
    return flag or bool(config.getini("pgqueue_from_start"))


@pytest.fixture(scope="session")
def pgqueue_server(pytestconfig: pytest.Config) -> Iterator[Server]:
    """A PostgreSQL: `PGQUEUE_TEST_DSN`, a container if Docker answers, an embedded one."""
    from pgqueue.testing.server import find_server  # noqa: PLC0415

    with ExitStack() as cleanup:
        started = pytestconfig.stash.get(STARTED, None)
        yield find_server(cleanup) if started is None else started.server


@pytest.fixture(scope="session")
def pgqueue_database(
    pgqueue_server: Server, pytestconfig: pytest.Config
) -> Iterator[str]:
    """The DSN of a migrated database of this run's own; dropped at its end."""
    from pgqueue import migrate  # noqa: PLC0415

    if (started := pytestconfig.stash.get(STARTED, None)) is not None:
        yield started.dsn
        return
    name = f"pgqueue_{pgqueue_server.token}_user"
    dsn = pgqueue_server.create(name)
    migrate.upgrade(dsn)
    yield dsn
    pgqueue_server.drop(name)


@pytest.fixture
def pgqueue_connection(
    pgqueue_database: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Connection[Any]]:
    """A connection in a transaction that is rolled back after the test.

    `PGQUEUE_DSN` names its database meanwhile. What is committed to it nevertheless is
    removed after the test.
    """
    import psycopg  # noqa: PLC0415

    from pgqueue.testing.guarding import only  # noqa: PLC0415
    from pgqueue.testing.server import empty, is_used  # noqa: PLC0415

    monkeypatch.setenv("PGQUEUE_DSN", pgqueue_database)
    connection = psycopg.connect(pgqueue_database)
    with only(pgqueue_database):
        yield connection
    if not connection.closed:
        connection.rollback()
        connection.close()
    # A worker that a fixture runs on `pgqueue_dsn` may still be at work there.
    if "pgqueue_dsn" not in request.fixturenames and is_used(pgqueue_database):
        empty(pgqueue_database)


@pytest.fixture
def pgqueue_dsn(
    pgqueue_database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The DSN of the database, with pgqueue's tables empty; also `PGQUEUE_DSN`.

    They are emptied before and after the test; the application's own tables are not.
    """
    from pgqueue.shells import site  # noqa: PLC0415
    from pgqueue.testing.guarding import only  # noqa: PLC0415
    from pgqueue.testing.server import empty  # noqa: PLC0415

    monkeypatch.setenv("PGQUEUE_DSN", pgqueue_database)
    # Who asks for it means this database, in a project with Django too.
    monkeypatch.setattr(site, "_places", [])
    empty(pgqueue_database)
    with only(pgqueue_database):
        yield pgqueue_database
    empty(pgqueue_database)
