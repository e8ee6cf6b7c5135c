"""`pgqueue migrate`: bring the schema to this release's revision."""

from __future__ import annotations

import click
from alembic.util.exc import CommandError

from pgqueue import migrate
from pgqueue.cli.output import print_json, say
from pgqueue.cli.params import Command, given_dsn, json_option
from pgqueue.errors import SchemaError
from pgqueue.schema import HEAD


@click.command("migrate", cls=Command)
@click.option(
    "--check", is_flag=True, help="Change nothing; exit 2 if it is not current."
)
@click.option("--sql", "as_sql", is_flag=True, help="Print the SQL; needs no database.")
@json_option
def command(*, check: bool, as_sql: bool, as_json: bool) -> None:
    """Create or upgrade the schema; many may do so at once."""
    for other, given in (("--check", check), ("--json", as_json)):
        if as_sql and given:
            raise click.UsageError(f"{other} and --sql exclude each other")
    if as_sql:
        click.echo(migrate.sql_script(), nl=False)
        return
    dsn = given_dsn()
    found = migrate.current(dsn)
    # Refuses a database that a newer release has migrated.
    if check or (found is not None and found > HEAD):
        migrate.check(dsn)
    if found != HEAD:
        upgrade(dsn)
    if as_json:
        print_json({"before": found, "revision": HEAD})
    elif found == HEAD:
        say(f"the schema is at revision {HEAD}, as this release needs")
    else:
        before = f"revision {found}" if found else "nothing"
        say(f"migrated the schema from {before} to revision {HEAD}")


def upgrade(dsn: str | None) -> None:
    """Migrate, and say in our words why it cannot be done."""
    try:
        migrate.upgrade(dsn)
    except CommandError as error:
        raise SchemaError(f"the schema cannot be migrated: {error}") from error
