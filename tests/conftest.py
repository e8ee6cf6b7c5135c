"""Fixtures: a database of its own for every test, on one shared server."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest
from psycopg import sql as composing
from psycopg.rows import namedtuple_row

from pgqueue.embedded import EmbeddedServer
from pgqueue.errors import ConfigError
from server import SETTINGS, Server, find_server, with_database

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pgqueue.embedded import ShutdownMode

SERVER = pytest.StashKey[Server]()
PROBLEM = pytest.StashKey[str]()
CLEANUP = pytest.StashKey[ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    # A developer's own database must be out of reach of every test.
    for name in ("PGQUEUE_DSN", "DATABASE_URL", "PGQUEUE_SCHEMA"):
        os.environ.pop(name, None)
    # A shell starts what it puts in the background (`make test &`) with SIGINT ignored,
    # and every program started from there inherits it: none would end by Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    handed: dict[str, Any] | None = getattr(config, "workerinput", None)
    if handed is not None:
        if "pgqueue_server" in handed:
            config.stash[SERVER] = Server.from_dict(handed["pgqueue_server"])
        config.stash[PROBLEM] = handed["pgqueue_problem"]
        return
    if config.option.collectonly:
        return
    cleanup = config.stash[CLEANUP] = ExitStack()
    config.stash[PROBLEM] = ""
    try:
        server = find_server(cleanup)
        config.stash[SERVER] = server
        server.create_template()
    except Exception as error:  # noqa: BLE001  (tests without a database still run)
        config.stash[PROBLEM] = f"{type(error).__name__}: {error}"


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Run one process more than there are cores: a test waits a quarter of its time."""
    cores = yield
    return cores if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else cores + 1


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker where the server is."""
    stash = node.config.stash
    node.workerinput["pgqueue_problem"] = stash.get(PROBLEM, "")
    if SERVER in stash:
        node.workerinput["pgqueue_server"] = stash[SERVER].to_dict()


def pytest_unconfigure(config: pytest.Config) -> None:
    if CLEANUP in config.stash:
        config.stash[CLEANUP].close()


def pytest_report_header(config: pytest.Config) -> str:
    listen = os.environ.get("PGQUEUE_LISTEN", "auto")
    if problem := config.stash.get(PROBLEM, ""):
        return f"pgqueue: no database: {problem}"
    if SERVER not in config.stash:
        return "pgqueue: no database"
    server = config.stash[SERVER]
    return f"pgqueue: PostgreSQL {server.version()} ({server.kind}), listen {listen}"


class Sql:
    """A second pair of eyes on the test's database, outside any transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def all(self, query: str, params: Any = None) -> list[Any]:
        """Return all rows, as named tuples."""
        return self.connection.execute(query, params).fetchall()

    def one(self, query: str, params: Any = None) -> Any:
        """Return the only row."""
        rows = self.all(query, params)
        assert len(rows) == 1, f"{len(rows)} rows, not one: {query}"
        return rows[0]

    def value(self, query: str, params: Any = None) -> Any:
        """Return the only column of the only row."""
        (value,) = self.one(query, params)
        return value

    def run(self, query: str, params: Any = None) -> int:
        """Execute and return the number of rows it touched."""
        return self.connection.execute(query, params).rowcount


class PrivateServer(NamedTuple):
    """A migrated database on a server that only this test uses, and may crash."""

    dsn: str
    server: EmbeddedServer

    def restart(self, mode: ShutdownMode = "immediate") -> None:
        self.server.restart(mode)

    def shutdown(self, mode: ShutdownMode = "immediate") -> None:
        self.server.shutdown(mode)

    def start(self) -> None:
        self.server.start()


LARGE = 64 * 1024
"""Bytes from which on a table gets new files: to make those takes longer than a DELETE."""


class Cleaner:
    """Empties pgqueue's tables between tests; knows them by the catalogue only."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(
            dsn, autocommit=True, options="-c lock_timeout=2s"
        )
        tables = [
            composing.Identifier("pgqueue", name)
            for (name,) in self._connection.execute(
                "SELECT relname FROM pg_class"
                " WHERE relnamespace = to_regnamespace('pgqueue')"
                " AND relkind IN ('r', 'p') AND NOT relispartition"
                " AND relname <> 'alembic_version' ORDER BY relname"
            )
        ]
        self._used = composing.SQL(" UNION ALL ").join(
            composing.SQL(
                "SELECT {}, pg_relation_size({}) > {} WHERE EXISTS (SELECT FROM {})"
            ).format(position, table.as_string(), LARGE, table)
            for position, table in enumerate(tables)
        )
        self._tables = tables

    def clean(self) -> None:
        """Empty what is not empty, and let every sequence start anew."""
        if self._tables:
            used = self._connection.execute(self._used).fetchall()
            few = [self._tables[i] for i, large in used if not large]
            many = [self._tables[i] for i, large in used if large]
            if few:
                delete = composing.SQL("DELETE FROM {}")
                self._empty(composing.SQL("; ").join(map(delete.format, few)))
            if many:
                truncate = composing.SQL("TRUNCATE {}")
                self._empty(truncate.format(composing.SQL(", ").join(many)))
        self._connection.execute(
            "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass,"
            " start_value, false) FROM pg_sequences WHERE schemaname = 'pgqueue'"
        )

    def _empty(self, query: composing.Composed) -> None:
        try:
            self._connection.execute(query)
        except psycopg.errors.LockNotAvailable:
            # A failed test left a transaction open; it must not fail the others.
            self._connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            self._connection.execute(query)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="session")
def pg_server(request: pytest.FixtureRequest) -> Server:
    """The server of this run, shared with other workers: make databases, no more."""
    if SERVER not in request.config.stash:
        pytest.fail(f"no server: {request.config.stash[PROBLEM]}", pytrace=False)
    return request.config.stash[SERVER]


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """The xdist worker this is, without needing xdist."""
    handed: dict[str, Any] = getattr(request.config, "workerinput", {})
    return str(handed.get("workerid", "main"))


@pytest.fixture(scope="session")
def _cleaner(
    pg_server: Server, worker_id: str, request: pytest.FixtureRequest
) -> Iterator[tuple[str, Cleaner]]:
    if problem := request.config.stash[PROBLEM]:
        pytest.fail(f"no migrated database: {problem}", pytrace=False)
    name = f"pgqueue_{pg_server.token}_{worker_id}"
    dsn = pg_server.create(name, template=pg_server.template)
    cleaner = Cleaner(dsn)
    yield dsn, cleaner
    cleaner.close()


@pytest.fixture
def dsn(_cleaner: tuple[str, Cleaner]) -> str:
    """A migrated database with no job in it, of this worker's own."""
    dsn, cleaner = _cleaner
    cleaner.clean()
    return dsn


@pytest.fixture
def sql(dsn: str) -> Iterator[Sql]:
    """Ask and change the test's database directly."""
    with psycopg.connect(
        dsn, autocommit=True, row_factory=namedtuple_row
    ) as connection:
        yield Sql(connection)


@pytest.fixture
def fresh_database(pg_server: Server, worker_id: str) -> Iterator[str]:
    """A database without pgqueue's schema; dropped afterwards."""
    name = f"pgqueue_fresh_{pg_server.token}_{worker_id}"
    pg_server.drop(name)
    yield pg_server.create(name)
    pg_server.drop(name)


@pytest.fixture(scope="session")
def _private() -> Iterator[tuple[EmbeddedServer, Server]]:
    try:
        embedded = EmbeddedServer(settings=SETTINGS)
        embedded.start()
    except ConfigError as error:
        pytest.skip(f"needs an embedded server of its own: {error}")
    with embedded:
        server = Server(embedded.dsn(), "private")
        server.create_template()
        yield embedded, server


@pytest.fixture
def private_server(
    _private: tuple[EmbeddedServer, Server],
) -> Iterator[PrivateServer]:
    """A migrated database on a server that the test may restart or crash."""
    embedded, server = _private
    embedded.start()
    server.create("private", template=server.template)
    yield PrivateServer(with_database(server.dsn, "private"), embedded)
    embedded.start()
    server.drop("private")
