"""A migration's operation that runs a revision of pgqueue's own migrations."""

from __future__ import annotations

from typing import Any

from django.db.migrations.operations.base import Operation

from pgqueue import migrate
from pgqueue.django.conf import site


class RunRevision(Operation):
    """Run the SQL of one Alembic revision, in the configured database only.

    There is one source: `pgqueue migrate` and Django's `migrate` leave the same schema,
    note the revision in the same table, and each finds done what the other did.
    """

    reversible = True
    reduces_to_sql = True

    def __init__(self, revision: str) -> None:
        self.revision = revision

    def describe(self) -> str:
        """Return a line for `migrate --plan`."""
        return f"pgqueue's schema, revision {self.revision}"

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return how to make it again."""
        return type(self).__name__, [self.revision], {}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Nothing that Django knows as a model changes."""

    def database_forwards(
        self, _app: str, schema_editor: Any, _from: Any, _to: Any
    ) -> None:
        """Bring the schema to the revision, unless it is there or beyond."""
        if not self.is_ours(schema_editor):
            return
        schema = site().schema
        before, after = migrate.neighbours(self.revision)
        if not schema_editor.collect_sql:
            now = self.current(schema_editor, schema)
            if now in {self.revision, *after}:
                return
            if now is None and before is None:
                # What Alembic leaves when it takes everything back.
                schema_editor.execute(
                    f"DROP TABLE IF EXISTS {schema}.alembic_version", None
                )
        schema_editor.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}", None)
        schema_editor.execute(migrate.revision_sql(self.revision, schema), None)

    def database_backwards(
        self, _app: str, schema_editor: Any, _from: Any, _to: Any
    ) -> None:
        """Take the revision back, if it is the last one."""
        if not self.is_ours(schema_editor):
            return
        schema = site().schema
        if (
            schema_editor.collect_sql
            or self.current(schema_editor, schema) == self.revision
        ):
            sql = migrate.revision_sql(self.revision, schema, back=True)
            schema_editor.execute(sql, None)

    def is_ours(self, schema_editor: Any) -> bool:
        """Whether a migration runs on the database that PGQUEUE names."""
        return bool(schema_editor.connection.alias == site().database)

    def current(self, schema_editor: Any, schema: str) -> str | None:
        """Return the revision that the schema is at, and let nobody change it now."""
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [migrate.LOCK])
            cursor.execute("SELECT to_regclass(%s)", [f"{schema}.alembic_version"])
            if cursor.fetchone()[0] is None:
                return None
            cursor.execute(f"SELECT version_num FROM {schema}.alembic_version")  # noqa: S608
            row = cursor.fetchone()
            return None if row is None else str(row[0])
