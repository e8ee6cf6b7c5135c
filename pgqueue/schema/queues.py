"""The tables of queues: what they may do, who works for them, what they did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue.schema.columns import binary, instant, key, needed

if TYPE_CHECKING:
    from sqlalchemy import MetaData


def add_queues(tables: MetaData) -> None:
    """Add queues, the starts that their limits count, workers, metrics."""
    import sqlalchemy as sa  # noqa: PLC0415
    from sqlalchemy.dialects import postgresql as pg  # noqa: PLC0415

    sa.Table(
        "queue",
        tables,
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        needed("name", binary()),
        sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("completed_age", sa.Double, server_default=sa.text("604800")),
        sa.Column("completed_count", sa.BigInteger),
        sa.Column("failed_age", sa.Double, server_default=sa.text("2592000")),
        sa.Column("failed_count", sa.BigInteger),
        sa.Column("events", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("concurrency", sa.Integer),
        sa.Column("rate_max", sa.Integer),
        sa.Column("rate_window", sa.Double),
        sa.Column("limited_until", instant()),
        sa.Column(
            "event_age", sa.Double, nullable=False, server_default=sa.text("86400")
        ),
        sa.Column(
            "event_count",
            sa.BigInteger,
            nullable=False,
            server_default=sa.text("1000000"),
        ),
        sa.Column("grouped", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("group_concurrency", sa.Integer),
        sa.Column("group_rate_max", sa.Integer),
        sa.Column("group_rate_window", sa.Double),
        sa.Column(
            "created_at",
            instant(),
            nullable=False,
            server_default=sa.func.clock_timestamp(),
        ),
        sa.UniqueConstraint("name", name="queue_name_key"),
        sa.CheckConstraint(
            "char_length(name) BETWEEN 1 AND 255", name="queue_name_length"
        ),
    )
    sa.Table(
        "rate",
        tables,
        key("queue_id", sa.Integer()),
        sa.Column("claimed_at", instant(), primary_key=True),
        needed("count", sa.Integer()),
    )
    sa.Table(
        "worker",
        tables,
        key("id", sa.BigInteger()),
        needed("started_at", instant()),
        needed("heartbeat_at", instant()),
        sa.Column("dead_at", instant()),
        needed("lease", sa.Double()),
        needed("pid", sa.Integer()),
        needed("concurrency", sa.Integer()),
        needed("host", sa.Text()),
        needed("name", sa.Text()),
        needed("queues", pg.ARRAY(sa.Text)),
    )
    sa.Table(
        "metric",
        tables,
        key("queue_id", sa.Integer()),
        key("minute", instant()),
        key("worker_id", sa.BigInteger()),
        needed("completed", sa.BigInteger()),
        needed("failed", sa.BigInteger()),
        needed("latency", pg.ARRAY(sa.BigInteger)),
        needed("duration", pg.ARRAY(sa.BigInteger)),
    )
