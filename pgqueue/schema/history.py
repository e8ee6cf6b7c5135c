"""The tables of what happened to jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue.schema.columns import binary, instant, key, needed

if TYPE_CHECKING:
    from sqlalchemy import MetaData


def add_history(tables: MetaData) -> None:
    """Add finished jobs, failed attempts, progress, logs."""
    import sqlalchemy as sa  # noqa: PLC0415

    finished = sa.Table(
        "finished",
        tables,
        key("queue_id", sa.Integer()),
        key("job_id", sa.BigInteger()),
        sa.Column("started_at", instant()),
        needed("finished_at", instant()),
        sa.Column("expires_at", instant()),
        sa.Column("keep_count", sa.BigInteger),
        needed("attempt", sa.Integer()),
        needed("stalled", sa.Integer()),
        needed("state", binary()),
        sa.Column("result", sa.JSON),
        sa.Column("error", sa.Text),
        sa.CheckConstraint("state IN ('completed', 'failed')", name="finished_state"),
    )
    f = finished.c
    sa.Index("finished_order", f.queue_id, f.state, f.finished_at, f.job_id)
    sa.Index(
        "finished_expiry",
        f.queue_id,
        f.expires_at,
        postgresql_where=f.expires_at.isnot(None),
    )
    sa.Index(
        "finished_counted",
        f.queue_id,
        f.state,
        f.finished_at,
        postgresql_where=f.keep_count.isnot(None),
    )
    attempt = sa.Table(
        "attempt",
        tables,
        needed("job_id", sa.BigInteger()),
        sa.Column("worker_id", sa.BigInteger),
        sa.Column("started_at", instant()),
        needed("finished_at", instant()),
        needed("queue_id", sa.Integer()),
        needed("attempt", sa.Integer()),
        needed("error", sa.Text()),
        sa.Column("stack", sa.Text),
        sa.Column("worker", sa.Text),
    )
    sa.Index("attempt_job", attempt.c.queue_id, attempt.c.job_id)
    sa.Table(
        "progress",
        tables,
        key("queue_id", sa.Integer()),
        key("job_id", sa.BigInteger()),
        needed("updated_at", instant()),
        needed("value", sa.JSON()),
    )
    sa.Table(
        "log",
        tables,
        key("queue_id", sa.Integer()),
        key("job_id", sa.BigInteger()),
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        needed("logged_at", instant()),
        needed("line", sa.Text()),
    )
