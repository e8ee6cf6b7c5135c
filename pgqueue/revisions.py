"""pgqueue's migrations as steps of another Alembic: an application's own.

They run through the application's `op`: on its connection, in its transaction, and into
its script when it prints SQL. Which revision they reached is still kept in pgqueue's own
version table, where `pgqueue migrate --check` and the workers look for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pgqueue.config import Settings
from pgqueue.errors import SchemaError
from pgqueue.migrate import LOCK, steps
from pgqueue.schema import HEAD

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from types import ModuleType

    from alembic.operations import Operations

BASE: Final = "base"


def upgrade(op: Operations, to: str = HEAD, *, since: str = BASE) -> None:
    """Run pgqueue's migrations up to a revision; call it in an `upgrade` of yours.

    Name the revision, so that this step means the same with a later release. What the
    database has already, by `pgqueue migrate` for instance, is not run again.

    Args:
        op: what `from alembic import op` gives.
        to: the revision of pgqueue to reach.
        since: where the step before this one ended; only printed SQL depends on it.

    Raises:
        SchemaError: this release of pgqueue does not know a revision that is named.
    """
    todo = in_order(to, since if is_printed(op) else BASE)
    schema = prepare(op)
    start = since if is_printed(op) else found(op, schema) or BASE
    for name, step in todo.items():
        if start == BASE or name > start:
            step.upgrade()
            note(op, schema, name)


def downgrade(op: Operations, to: str = BASE, *, since: str = HEAD) -> None:
    """Take pgqueue's migrations back to a revision; what they made is lost.

    Args:
        op: what `from alembic import op` gives.
        to: the revision of pgqueue to return to; by default none of it stays.
        since: where to begin; only printed SQL depends on it.

    Raises:
        SchemaError: this release of pgqueue does not know a revision that is named.
    """
    all_of_them = steps()
    names = [BASE, *all_of_them]
    known(to, names)
    known(since, names)
    schema = prepare(op)
    start = since if is_printed(op) else found(op, schema) or BASE
    for name in reversed(names[names.index(to) + 1 :]):
        if start != BASE and name <= start:
            all_of_them[name].downgrade()
            note(op, schema, names[names.index(name) - 1])


def without_pgqueue(
    include_name: Callable[[str | None, str, MutableMapping[str, Any]], bool]
    | None = None,
) -> Callable[[str | None, str, MutableMapping[str, Any]], bool]:
    """Return an `include_name` for `context.configure` that leaves pgqueue alone.

    Autogenerate then neither drops nor compares what is in pgqueue's schema.

    Args:
        include_name: a filter of your own, asked about everything else.
    """
    schema = Settings.load().schema

    def include(name: str | None, kind: str, parents: MutableMapping[str, Any]) -> bool:
        if schema in (name if kind == "schema" else None, parents.get("schema_name")):
            return False
        return include_name is None or include_name(name, kind, parents)

    return include


def in_order(to: str, since: str) -> dict[str, ModuleType]:
    """Return the migrations after `since` up to `to`, the oldest first."""
    found = steps()
    names = [BASE, *found]
    known(to, names)
    known(since, names)
    chosen = names[names.index(since) + 1 : names.index(to) + 1]
    return {name: found[name] for name in chosen}


def known(revision: str, names: list[str]) -> None:
    """Refuse a revision that this release does not have."""
    if revision not in names:
        raise SchemaError(
            f"this release of pgqueue has no revision {revision!r}, but"
            f" {', '.join(names)}; correct the migration, or upgrade pgqueue-jobs"
        )


def prepare(op: Operations) -> str:
    """Make the schema and the version table, held against others who migrate."""
    from alembic import context  # noqa: PLC0415

    schema = Settings.load().schema
    # Where the migrations themselves look for it.
    context.config.attributes["pgqueue_schema"] = schema
    op.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
    op.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    op.execute(
        f"CREATE TABLE IF NOT EXISTS {schema}.alembic_version (version_num varchar(32)"
        " NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)"
    )
    return schema


def is_printed(op: Operations) -> bool:
    """Whether SQL is printed instead of run (`alembic upgrade --sql`)."""
    return bool(op.get_context().as_sql)


def found(op: Operations, schema: str) -> str | None:
    """Return the revision that the database is at."""
    from sqlalchemy import text  # noqa: PLC0415

    query = text(f"SELECT version_num FROM {schema}.alembic_version")  # noqa: S608
    value = op.get_bind().execute(query).scalar()
    return None if value is None else str(value)


def note(op: Operations, schema: str, revision: str) -> None:
    """Write down which revision the database is at now."""
    op.execute(f"DELETE FROM {schema}.alembic_version")  # noqa: S608
    if revision != BASE:
        op.execute(f"INSERT INTO {schema}.alembic_version VALUES ('{revision}')")  # noqa: S608
