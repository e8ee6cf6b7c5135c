"""Runs pgqueue's migrations on a connection it is given, or on the configured DSN."""

from __future__ import annotations

from alembic import context

from pgqueue.migrate import include_name, migration_engine
from pgqueue.schema import metadata

config = context.config
schema = config.attributes.get("pgqueue_schema", "pgqueue")
options = {
    "target_metadata": metadata(schema),
    "version_table_schema": schema,
    "include_schemas": True,
    "include_name": include_name(schema),
}


def run_online() -> None:
    """Migrate through the caller's connection if there is one, else a new one."""
    connection = config.attributes.get("connection")
    if connection is not None:
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()
        return
    with migration_engine().connect() as connection:
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()


def run_offline() -> None:
    """Print the SQL instead of running it (`pgqueue migrate --sql`)."""
    context.configure(
        dialect_name="postgresql",
        output_buffer=config.attributes.get("output_buffer"),
        # Without it, no BEGIN and COMMIT: Django's migration has its own transaction.
        transactional_ddl=config.attributes.get("transaction", True),
        **options,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
