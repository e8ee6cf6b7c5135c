"""SQLAlchemy's picture of the tables: for the drift check, and for users' queries.

Built on first use, so that importing pgqueue does not load SQLAlchemy.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from pgqueue.schema.events import add_events
from pgqueue.schema.groups import add_groups
from pgqueue.schema.history import add_history
from pgqueue.schema.jobs import add_jobs
from pgqueue.schema.queues import add_queues
from pgqueue.schema.relations import add_relations

if TYPE_CHECKING:
    from sqlalchemy import MetaData

HEAD: Final = "0002"
"""The revision that this release works with."""


@cache
def metadata(schema: str = "pgqueue") -> MetaData:
    """Return the tables of one schema; a test holds them equal to the migrations."""
    import sqlalchemy as sa  # noqa: PLC0415

    tables = sa.MetaData(schema=schema)
    add_queues(tables)
    add_jobs(tables)
    add_history(tables)
    add_relations(tables)
    add_groups(tables)
    add_events(tables)
    return tables
