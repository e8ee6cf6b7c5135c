"""Migrations through Alembic's own API: upgrade, check, print."""

from __future__ import annotations

import io
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pgqueue.config import Settings, normal_dsn
from pgqueue.db.pool import bad_dsn, unreachable
from pgqueue.errors import SchemaError
from pgqueue.schema import HEAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from alembic.config import Config
    from sqlalchemy import Engine

LOCK: Final = 5_283_417_716_020_411_233


def script_location() -> Path:
    """Return the migrations: inside the wheel, else beside the package."""
    inside = Path(__file__).parent / "_alembic"
    return inside if (inside / "env.py").exists() else inside.parents[1] / "alembic"


def steps() -> dict[str, ModuleType]:
    """Return the migrations by revision, the oldest first."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory(str(script_location()))
    found = {script.revision: script.module for script in scripts.walk_revisions()}
    return dict(sorted(found.items()))


def migration_engine(dsn: str | None = None) -> Engine:
    """Return an SQLAlchemy engine on the configured DSN, without a pool."""
    from sqlalchemy import create_engine, pool  # noqa: PLC0415

    settings = Settings.load(dsn)

    def connect() -> psycopg.Connection[Any]:
        try:
            return psycopg.connect(settings.dsn, connect_timeout=10)
        except psycopg.ProgrammingError as error:
            raise bad_dsn(error, settings.dsn) from None
        except psycopg.OperationalError as error:
            raise unreachable(settings, error) from error

    return create_engine(
        "postgresql+psycopg://", creator=connect, poolclass=pool.NullPool
    )


def include_name(schema: str) -> Callable[[str | None, str, Any], bool]:
    """Return Alembic's filter: only our schema, and not the version table."""

    def include(name: str | None, kind: str, _parents: Any) -> bool:
        if kind == "schema":
            return name == schema
        return not (kind == "table" and name == "alembic_version")

    return include


def upgrade(dsn: str | None = None, *, schema: str | None = None) -> None:
    """Bring the schema to the revision that this release needs.

    Twenty processes may do so at once: one migrates, the others wait and find it done.

    Raises:
        DatabaseUnavailable: the server does not answer.
        ConfigError: the DSN cannot be read.
    """
    from alembic import command  # noqa: PLC0415

    with migrating(dsn, schema) as config:
        command.upgrade(config, "head")


def downgrade(dsn: str | None = None, revision: str = "base") -> None:
    """Take migrations back; the data in what they created is lost."""
    from alembic import command  # noqa: PLC0415

    with migrating(dsn, None) as config:
        command.downgrade(config, revision)


@contextmanager
def migrating(dsn: str | None, schema: str | None) -> Iterator[Config]:
    """Hold the migration lock and one transaction; a failure takes all of it back."""
    from sqlalchemy import text  # noqa: PLC0415

    name = schema or Settings.load(dsn).schema
    with migration_engine(dsn).begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {name}"))
        config = make_config(name)
        config.attributes["connection"] = connection
        yield config


def make_config(schema: str) -> Config:
    """Return an Alembic configuration that needs no file."""
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(script_location()))
    config.attributes["pgqueue_schema"] = schema
    return config


def sql_script(schema: str | None = None) -> str:
    """Return the SQL of all migrations, for those who run it by other means."""
    from alembic import command  # noqa: PLC0415

    name = schema or Settings.load().schema
    config = make_config(name)
    output = io.StringIO()
    config.attributes["output_buffer"] = output
    command.upgrade(config, "head", sql=True)
    return f"CREATE SCHEMA IF NOT EXISTS {name};\n\n{output.getvalue()}"


def revision_sql(revision: str, schema: str, *, back: bool = False) -> str:
    """Return the SQL of one revision, for a transaction that somebody else holds.

    It notes the revision in the version table; the first one also makes that table.
    """
    from alembic import command  # noqa: PLC0415

    before, _ = neighbours(revision)
    config = make_config(schema)
    config.attributes["transaction"] = False
    output = io.StringIO()
    config.attributes["output_buffer"] = output
    if back:
        command.downgrade(config, f"{revision}:{before or 'base'}", sql=True)
    else:
        command.upgrade(
            config, f"{before}:{revision}" if before else revision, sql=True
        )
    return output.getvalue()


def neighbours(revision: str) -> tuple[str | None, list[str]]:
    """Return the revision before one, and those that come after it."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    order = [
        one.revision for one in ScriptDirectory(str(script_location())).walk_revisions()
    ][::-1]
    place = order.index(revision)
    return (order[place - 1] if place else None), order[place + 1 :]


def current(dsn: str | None = None) -> str | None:
    """Return the revision that a database is at; None before the first migration."""
    from sqlalchemy import inspect, text  # noqa: PLC0415

    schema = Settings.load(dsn).schema
    with migration_engine(dsn).connect() as connection:
        if not inspect(connection).has_table("alembic_version", schema=schema):
            return None
        found = connection.execute(
            text(f"SELECT version_num FROM {schema}.alembic_version")  # noqa: S608
        ).scalar()
    return None if found is None else str(found)


def check(dsn: str | None = None) -> None:
    """Do nothing if the schema is the one this release needs.

    Raises:
        SchemaError: it is missing, older or newer; the message says what to do.
    """
    found = current(dsn)
    if found == HEAD:
        return
    name = conninfo_to_dict(normal_dsn(dsn or Settings.load().dsn)).get("dbname") or ""
    if found is None:
        raise SchemaError(
            f"database {name!r} has no pgqueue schema; run: pgqueue migrate"
        )
    older = found < HEAD
    what_now = "run: pgqueue migrate" if older else "upgrade pgqueue-jobs"
    raise SchemaError(
        f"database {name!r} is at revision {found}, this release needs {HEAD}; {what_now}"
    )
