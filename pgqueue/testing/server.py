"""Find a PostgreSQL for the tests, and make databases on it.

One server serves a whole pytest run: the process that a person started finds it,
migrates one template database and hands both to xdist's workers. In this order:
`PGQUEUE_TEST_DSN`, a container if a Docker engine answers, the embedded server.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pgqueue.config import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack

IMAGE = "postgres:18"
# No test crashes the machine, so nothing has to reach the disk.
SETTINGS = {"fsync": "off", "max_connections": "200"}


@dataclass(frozen=True)
class Server:
    """Where the tests' databases are; small enough to travel to xdist's workers."""

    dsn: str
    kind: str
    token: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def template(self) -> str:
        return f"pgqueue_template_{self.token}"

    def create(self, name: str, *, template: str | None = None) -> str:
        """Create a database, empty or like the template, and return its DSN."""
        query = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template or "template0")
        )
        self._run(query)
        return with_database(self.dsn, name)

    def create_template(self) -> None:
        """Migrate a database once, for others to be copied from."""
        from pgqueue import migrate  # noqa: PLC0415  (may be broken: only tests fail)

        migrate.upgrade(self.create(self.template))
        # Even an autovacuum worker in it would hold up those who copy it.
        query = "ALTER DATABASE {} ALLOW_CONNECTIONS false"
        self._run(sql.SQL(query).format(sql.Identifier(self.template)))

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        query = "DROP DATABASE IF EXISTS {} WITH (FORCE)"
        self._run(sql.SQL(query).format(sql.Identifier(name)))

    def drop_all(self) -> None:
        """Drop every database that this run made."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            made = connection.execute(
                "SELECT datname FROM pg_database WHERE datname LIKE %s",
                [f"pgqueue%{self.token}%"],
            ).fetchall()
        for (name,) in made:
            self.drop(name)

    def version(self) -> str:
        with psycopg.connect(self.dsn) as connection:
            return str(connection.info.parameter_status("server_version"))

    def to_dict(self) -> dict[str, str]:
        return {"dsn": self.dsn, "kind": self.kind, "token": self.token}

    @classmethod
    def from_dict(cls, values: Mapping[str, str]) -> Self:
        return cls(**values)

    def _run(self, query: sql.Composed) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(query)


def find_server(cleanup: ExitStack) -> Server:
    """Return the server to test on; `cleanup` takes it away when it is ours."""
    if given := os.environ.get("PGQUEUE_TEST_DSN"):
        server = Server(with_database(given), "PGQUEUE_TEST_DSN")
        cleanup.callback(server.drop_all)
        return server
    return _container(cleanup) or _embedded(cleanup)


def _embedded(cleanup: ExitStack) -> Server:
    from pgqueue.embedded import EmbeddedServer  # noqa: PLC0415  (needs its wheel)

    return Server(
        cleanup.enter_context(EmbeddedServer(settings=SETTINGS)).dsn(), "embedded"
    )


def _container(cleanup: ExitStack) -> Server | None:
    if not _docker_answers():
        return None
    try:
        from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415

        options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
        container = PostgresContainer(IMAGE, driver=None)
        container.with_command(f"postgres {options}")
        dsn = cleanup.enter_context(container).get_connection_url()
    except Exception as error:  # noqa: BLE001  (no image, no rights, no network …)
        print(f"Docker answers but gives no {IMAGE} ({error}); using the embedded one")  # noqa: T201
        return None
    return Server(with_database(dsn), "testcontainers")


def _docker_answers() -> bool:
    """Say whether an engine is there, within two seconds and without an error."""
    sockets = ("/var/run/docker.sock", "~/.docker/run/docker.sock")
    if "DOCKER_HOST" not in os.environ and not any(
        Path(socket).expanduser().exists() for socket in sockets
    ):
        return False
    try:
        import docker  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415

        client: Any = docker.from_env(timeout=2)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except Exception:  # noqa: BLE001  (any failure means: no engine for us)
        return False


def with_database(dsn: str, dbname: str | None = None) -> str:
    """Return the DSN as a URL, which SQLAlchemy takes too, for another database."""
    parts = {k: str(v) for k, v in conninfo_to_dict(dsn).items() if v is not None}
    name = quote(dbname or parts.pop("dbname", "postgres"), safe="")
    parts.pop("dbname", None)
    login = quote(parts.pop("user", ""), safe="")
    if password := parts.pop("password", ""):
        login += ":" + quote(password, safe="")
    at = f"{login}@" if login else ""
    rest = f"?{urlencode(parts, safe='/')}" if parts else ""
    return f"postgresql://{at}/{name}{rest}"


def is_used(dsn: str) -> bool:
    """Say whether something is committed there; all but a worker has its queue."""
    schema = Settings.load(dsn).schema
    query = "SELECT EXISTS (SELECT FROM {}) OR EXISTS (SELECT FROM {})"
    tables = [sql.Identifier(schema, name) for name in ("queue", "worker")]
    with psycopg.connect(dsn, autocommit=True) as connection:
        found = connection.execute(sql.SQL(query).format(*tables)).fetchall()
    return found == [(True,)]


def empty(dsn: str) -> None:
    """Remove all that pgqueue's tables hold."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        schema = Settings.load(dsn).schema
        tables = connection.execute(
            "SELECT relname FROM pg_class"
            " WHERE relnamespace = to_regnamespace(%s) AND relkind IN ('r', 'p')"
            " AND NOT relispartition AND relname <> 'alembic_version'",
            [schema],
        ).fetchall()
        names = [sql.Identifier(schema, name) for (name,) in tables]
        query = sql.SQL("TRUNCATE {} CASCADE").format(sql.SQL(", ").join(names))
        connection.execute(query)
