"""The tables of jobs that are not finished: their bodies, and where they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue.schema.columns import binary, instant, key, needed

if TYPE_CHECKING:
    from sqlalchemy import MetaData


def add_jobs(tables: MetaData) -> None:
    """Add bodies of jobs, and a table for each place where a job may be."""
    import sqlalchemy as sa  # noqa: PLC0415
    from sqlalchemy.dialects import postgresql as pg  # noqa: PLC0415

    sa.Sequence("job_seq", metadata=tables, schema=tables.schema)
    sa.Sequence("lease_seq", metadata=tables, schema=tables.schema)
    job = sa.Table(
        "job",
        tables,
        key("queue_id", sa.Integer()),
        key("id", sa.BigInteger()),
        needed("created_at", instant()),
        needed("priority", sa.Integer()),
        needed("attempts", sa.Integer()),
        sa.Column("parent_queue_id", sa.Integer),
        sa.Column("parent_id", sa.BigInteger),
        needed("name", sa.Text()),
        needed("data", sa.JSON()),
        sa.Column("options", sa.JSON),
        sa.Column("key", binary()),
        sa.Column("group", binary()),
        sa.CheckConstraint(
            'char_length("group") BETWEEN 1 AND 255', name="job_group_length"
        ),
        sa.CheckConstraint(
            "char_length(name) BETWEEN 1 AND 255", name="job_name_length"
        ),
        sa.CheckConstraint("char_length(key) BETWEEN 1 AND 255", name="job_key_length"),
        sa.CheckConstraint("priority BETWEEN 0 AND 2097151", name="job_priority_range"),
        sa.CheckConstraint("attempts >= 1", name="job_attempts_range"),
    )
    sa.Index(
        "job_key",
        job.c.queue_id,
        job.c.key,
        unique=True,
        postgresql_where=job.c.key.isnot(None),
    )
    ready = sa.Table(
        "ready",
        tables,
        needed("job_id", sa.BigInteger()),
        needed("seq", sa.BigInteger()),
        needed("queue_id", sa.Integer()),
        needed("priority", sa.Integer()),
        needed("attempt", sa.Integer()),
        needed("stalled", sa.Integer()),
        needed("moved", sa.Boolean()),
        sa.Column("group", binary()),
    )
    r = ready.c
    sa.Index(
        "ready_group",
        *(r.queue_id, r["group"], r.priority, r.seq),
        postgresql_where=r["group"].isnot(None),
    )
    sa.Index("ready_order", ready.c.queue_id, ready.c.priority, ready.c.seq)
    sa.Index(
        "ready_moved", ready.c.queue_id, ready.c.job_id, postgresql_where=ready.c.moved
    )
    delayed = sa.Table(
        "delayed",
        tables,
        key("queue_id", sa.Integer()),
        key("job_id", sa.BigInteger()),
        needed("run_at", instant()),
        needed("priority", sa.Integer()),
        needed("attempt", sa.Integer()),
        needed("stalled", sa.Integer()),
        sa.Column("group", binary()),
        sa.CheckConstraint(
            "run_at < '9999-01-01 00:00+00'", name="delayed_run_at_range"
        ),
    )
    sa.Index("delayed_due", delayed.c.queue_id, delayed.c.run_at, delayed.c.job_id)
    lease = sa.Table(
        "lease",
        tables,
        key("queue_id", sa.Integer()),
        key("worker_id", sa.BigInteger()),
        key("id", sa.BigInteger()),
        needed("claimed_at", instant()),
        needed("job_ids", pg.ARRAY(sa.BigInteger)),
        needed("attempts", pg.ARRAY(sa.Integer)),
        needed("stalls", pg.ARRAY(sa.Integer)),
        sa.Column("group", binary()),
        sa.CheckConstraint("cardinality(job_ids) > 0", name="lease_lists_jobs"),
    )
    sa.Index(
        "lease_group",
        *(lease.c.queue_id, lease.c["group"]),
        postgresql_where=lease.c["group"].isnot(None),
    )
    sa.Table(
        "blocked",
        tables,
        key("queue_id", sa.Integer()),
        key("job_id", sa.BigInteger()),
        sa.Column("run_at", instant()),
        needed("priority", sa.Integer()),
        needed("attempt", sa.Integer()),
        needed("stalled", sa.Integer()),
        sa.Column("group", binary()),
    )
