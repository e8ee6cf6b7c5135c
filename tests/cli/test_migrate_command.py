"""`pgqueue migrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from pgqueue.migrate import HEAD

if TYPE_CHECKING:
    from cli.conftest import Cli


def test_migrate_makes_the_schema_and_then_has_nothing_to_do(
    cli: Cli, fresh_database: str
) -> None:
    migrate = ("--dsn", fresh_database, "migrate")
    assert cli(*migrate, "--check").code == 2
    assert f"from nothing to revision {HEAD}" in cli(*migrate).out
    assert "as this release needs" in cli(*migrate).out
    assert cli(*migrate, "--check").code == 0


def test_migrate_sql_prints_what_psql_can_run(cli: Cli, fresh_database: str) -> None:
    printed = cli("migrate", "--sql")
    assert printed.code == 0
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute(printed.out.encode())
    assert cli("--dsn", fresh_database, "migrate", "--check").code == 0


def test_a_newer_schema_is_left_alone(cli: Cli, fresh_database: str) -> None:
    cli("--dsn", fresh_database, "migrate")
    with psycopg.connect(fresh_database) as connection:
        connection.execute("UPDATE pgqueue.alembic_version SET version_num = '9999'")
    refused = cli("--dsn", fresh_database, "migrate").complaint
    assert refused.endswith("upgrade pgqueue-jobs")
