"""Django's `migrate` and `pgqueue migrate` leave the same schema, from one source."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from alembic.script import ScriptDirectory
from django.core.management import call_command
from django.db import connections

from django_site import set_up
from pgqueue import migrate
from pgqueue.django.operations import RunRevision

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPE = """
    SELECT c.relname, c.relkind::text, a.attname, a.atttypid::regtype::text,
        a.attnotnull
    FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    WHERE c.relnamespace = 'pgqueue'::regnamespace
    UNION ALL
    SELECT p.proname, 'function', md5(p.prosrc), p.oidvectortypes, false
    FROM (SELECT proname, prosrc, oidvectortypes(proargtypes) FROM pg_proc
          WHERE pronamespace = 'pgqueue'::regnamespace) AS p
    ORDER BY 1, 2, 3, 4
"""


@pytest.fixture
def fresh(fresh_database: str, site_dsn: str) -> Iterator[str]:
    """A site whose database is empty."""
    set_up(fresh_database)
    yield fresh_database
    set_up(site_dsn)


def shape(dsn: str) -> list[Any]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(SHAPE).fetchall()


def schema_exists(dsn: str) -> bool:
    query = "SELECT to_regclass('pgqueue.job') IS NOT NULL"
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query).fetchone()
    return bool(row and row[0])


def run(*arguments: str) -> str:
    output = StringIO()
    call_command(*arguments, stdout=output, stderr=output)
    connections.close_all()
    return output.getvalue()


def test_both_ways_leave_the_same_schema(fresh: str, dsn: str) -> None:
    run("migrate", "pgqueue")
    assert shape(fresh) == shape(dsn)
    migrate.check(fresh)


def test_no_migration_is_missing(site: Any) -> None:
    assert "No changes" in run("makemigrations", "--check", "--dry-run")


def test_every_revision_has_a_migration() -> None:
    from django.db.migrations.loader import MigrationLoader  # noqa: PLC0415

    loaded = MigrationLoader(None).disk_migrations
    named = [
        operation.revision
        for (app, _), migration in sorted(loaded.items())
        for operation in migration.operations
        if app == "pgqueue" and isinstance(operation, RunRevision)
    ]
    script = ScriptDirectory(str(migrate.script_location()))
    assert named == sorted(one.revision for one in script.walk_revisions())


def test_django_finds_done_what_pgqueue_migrate_did(fresh: str) -> None:
    migrate.upgrade(fresh)
    before = shape(fresh)
    assert "OK" in run("migrate", "pgqueue")
    assert shape(fresh) == before


def test_pgqueue_migrate_finds_done_what_django_did(fresh: str) -> None:
    run("migrate", "pgqueue")
    before = shape(fresh)
    migrate.upgrade(fresh)
    assert shape(fresh) == before


def test_migrations_can_be_taken_back_and_done_again(fresh: str) -> None:
    run("migrate", "pgqueue")
    before = shape(fresh)
    run("migrate", "pgqueue", "zero")
    assert not schema_exists(fresh)
    run("migrate", "pgqueue")
    assert shape(fresh) == before


def test_django_follows_after_alembic_took_everything_back(fresh: str) -> None:
    migrate.upgrade(fresh)
    migrate.downgrade(fresh)
    run("migrate", "pgqueue")
    migrate.check(fresh)


def test_sqlmigrate_prints_the_sql(site: Any) -> None:
    printed = run("sqlmigrate", "pgqueue", "0001")
    assert "CREATE TABLE pgqueue.job " in printed
    assert printed.count("COMMIT;") == 1


def test_only_the_configured_database_gets_the_schema(
    fresh: str, settings_of: Any
) -> None:
    with settings_of({"DATABASE": "elsewhere"}):
        run("migrate", "pgqueue")
    assert not schema_exists(fresh)


@pytest.fixture
def settings_of() -> Any:
    from django.test import override_settings  # noqa: PLC0415

    return lambda given: override_settings(PGQUEUE=given)
