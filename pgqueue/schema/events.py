"""The tables of events and their followers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue.schema.columns import binary, instant, key, needed

if TYPE_CHECKING:
    from sqlalchemy import MetaData


def add_events(tables: MetaData) -> None:
    """Add events, and how far each follower has read."""
    import sqlalchemy as sa  # noqa: PLC0415

    sa.Table(
        "event",
        tables,
        key("queue_id", sa.Integer()),
        sa.Column(
            "xid",
            sa.BigInteger,
            primary_key=True,
            autoincrement=False,
            server_default=sa.text(f"{tables.schema}.horizon()"),
        ),
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column(
            "at", instant(), nullable=False, server_default=sa.func.clock_timestamp()
        ),
        sa.Column("job_id", sa.BigInteger),
        needed("name", binary()),
        sa.Column("data", sa.JSON),
    )
    sa.Table(
        "subscriber",
        tables,
        key("queue_id", sa.Integer()),
        key("consumer", binary()),
        needed("xid", sa.BigInteger()),
        needed("event_id", sa.BigInteger()),
        needed("seen_at", instant()),
        sa.Column("lost", sa.Boolean, nullable=False, server_default=sa.false()),
    )
