"""The tables of groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue.schema.columns import binary, instant, key, needed

if TYPE_CHECKING:
    from sqlalchemy import MetaData


def add_groups(tables: MetaData) -> None:
    """Add the limits of groups, the line that they stand in, and what comes to it."""
    import sqlalchemy as sa  # noqa: PLC0415

    limit = sa.Table(
        "group_limit",
        tables,
        key("queue_id", sa.Integer()),
        key("group", binary()),
        sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("concurrency", sa.Integer),
        sa.Column("rate_max", sa.Integer),
        sa.Column("rate_window", sa.Double),
        sa.Column("limited_until", instant()),
    )
    held = limit.c
    sa.Index(
        "group_limit_held",
        *(held.queue_id, held.limited_until),
        postgresql_where=held.limited_until.isnot(None),
    )
    sa.Table(
        "arrival",
        tables,
        key("queue_id", sa.Integer()),
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("group", binary()),
        sa.Column("priority", sa.Integer),
        sa.Column("seq", sa.BigInteger),
        sa.Column("again", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    line = sa.Table(
        "line",
        tables,
        key("queue_id", sa.Integer()),
        key("group", binary()),
        key("turn", sa.BigInteger()),
        sa.Column("until", instant()),
        sa.Column("low_priority", sa.Integer, nullable=False, server_default="0"),
        sa.Column(
            "low_seq",
            sa.BigInteger,
            nullable=False,
            server_default=sa.text("'-9223372036854775808'::bigint"),
        ),
    )
    place = line.c
    sa.Index(
        "line_order",
        *(place.queue_id, place.turn),
        postgresql_where=place.until.is_(None),
    )
    sa.Index(
        "line_until",
        *(place.queue_id, place.until, place.turn),
        postgresql_where=place.until.isnot(None),
    )
    rate = sa.Table(
        "group_rate",
        tables,
        key("queue_id", sa.Integer()),
        key("group", binary()),
        key("claimed_at", instant()),
        needed("passed_at", instant()),
        needed("count", sa.Integer()),
    )
    sa.Index("group_rate_passed", rate.c.queue_id, rate.c.passed_at)
