"""SQLAlchemy's picture of the tables: for the drift check, and for users' queries.

Built on first use, so that importing pgqueue does not load SQLAlchemy.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from pgqueue.group_tables import add_groups

if TYPE_CHECKING:
    from sqlalchemy import MetaData


HEAD: Final = "0002"
"""The revision that this release works with."""


@cache
def metadata(schema: str = "pgqueue") -> MetaData:
    """Return the tables of one schema; a test holds them equal to the migrations."""
    import sqlalchemy as sa  # noqa: PLC0415
    from sqlalchemy.dialects import postgresql as pg  # noqa: PLC0415

    tables = sa.MetaData(schema=schema)
    instant = sa.DateTime(timezone=True)
    binary = sa.Text(collation="C")

    def needed(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
        return sa.Column(name, kind, nullable=False)

    sa.Sequence("job_seq", metadata=tables, schema=schema)
    sa.Sequence("lease_seq", metadata=tables, schema=schema)
    sa.Table(
        "queue",
        tables,
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        needed("name", binary),
        sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("completed_age", sa.Double, server_default=sa.text("604800")),
        sa.Column("completed_count", sa.BigInteger),
        sa.Column("failed_age", sa.Double, server_default=sa.text("2592000")),
        sa.Column("failed_count", sa.BigInteger),
        sa.Column("events", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("concurrency", sa.Integer),
        sa.Column("rate_max", sa.Integer),
        sa.Column("rate_window", sa.Double),
        sa.Column("limited_until", instant),
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
            instant,
            nullable=False,
            server_default=sa.func.clock_timestamp(),
        ),
        sa.UniqueConstraint("name", name="queue_name_key"),
        sa.CheckConstraint(
            "char_length(name) BETWEEN 1 AND 255", name="queue_name_length"
        ),
    )
    job = sa.Table(
        "job",
        tables,
        sa.Column("queue_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        needed("created_at", instant),
        needed("priority", sa.Integer()),
        needed("attempts", sa.Integer()),
        sa.Column("parent_queue_id", sa.Integer),
        sa.Column("parent_id", sa.BigInteger),
        needed("name", sa.Text()),
        needed("data", sa.JSON()),
        sa.Column("options", sa.JSON),
        sa.Column("key", binary),
        sa.Column("group", binary),
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
        sa.Column("group", binary),
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
        sa.Column("queue_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("job_id", sa.BigInteger, primary_key=True, autoincrement=False),
        needed("run_at", instant),
        needed("priority", sa.Integer()),
        needed("attempt", sa.Integer()),
        needed("stalled", sa.Integer()),
        sa.Column("group", binary),
        sa.CheckConstraint(
            "run_at < '9999-01-01 00:00+00'", name="delayed_run_at_range"
        ),
    )
    sa.Index("delayed_due", delayed.c.queue_id, delayed.c.run_at, delayed.c.job_id)
    lease = sa.Table(
        "lease",
        tables,
        sa.Column("queue_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("worker_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        needed("claimed_at", instant),
        needed("job_ids", pg.ARRAY(sa.BigInteger)),
        needed("attempts", pg.ARRAY(sa.Integer)),
        needed("stalls", pg.ARRAY(sa.Integer)),
        sa.Column("group", binary),
        sa.CheckConstraint("cardinality(job_ids) > 0", name="lease_lists_jobs"),
    )
    sa.Index(
        "lease_group",
        *(lease.c.queue_id, lease.c["group"]),
        postgresql_where=lease.c["group"].isnot(None),
    )
    finished = sa.Table(
        "finished",
        tables,
        sa.Column("queue_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("job_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("started_at", instant),
        needed("finished_at", instant),
        sa.Column("expires_at", instant),
        sa.Column("keep_count", sa.BigInteger),
        needed("attempt", sa.Integer()),
        needed("stalled", sa.Integer()),
        needed("state", binary),
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
        sa.Column("started_at", instant),
        needed("finished_at", instant),
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
        sa.Column("queue_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("job_id", sa.BigInteger, primary_key=True, autoincrement=False),
        needed("updated_at", instant),
        needed("value", sa.JSON()),
    )
    sa.Table(
        "worker",
        tables,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        needed("started_at", instant),
        needed("heartbeat_at", instant),
        sa.Column("dead_at", instant),
        needed("lease", sa.Double()),
        needed("pid", sa.Integer()),
        needed("concurrency", sa.Integer()),
        needed("host", sa.Text()),
        needed("name", sa.Text()),
        needed("queues", pg.ARRAY(sa.Text)),
    )
    add_job_model(tables)
    add_groups(tables)
    return tables


def add_job_model(tables: MetaData) -> None:
    """Add what flows, deduplication, logs, limits, schedules and events need."""
    import sqlalchemy as sa  # noqa: PLC0415
    from sqlalchemy.dialects import postgresql as pg  # noqa: PLC0415

    instant = sa.DateTime(timezone=True)
    binary = sa.Text(collation="C")

    def needed(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
        return sa.Column(name, kind, nullable=False)

    def key(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
        return sa.Column(name, kind, primary_key=True, autoincrement=False)

    sa.Table(
        "blocked",
        tables,
        key("queue_id", sa.Integer()),
        key("job_id", sa.BigInteger()),
        sa.Column("run_at", instant),
        needed("priority", sa.Integer()),
        needed("attempt", sa.Integer()),
        needed("stalled", sa.Integer()),
        sa.Column("group", binary),
    )
    dependency = sa.Table(
        "dependency",
        tables,
        key("queue_id", sa.Integer()),
        key("child_id", sa.BigInteger()),
        needed("parent_id", sa.BigInteger()),
        needed("parent_queue_id", sa.Integer()),
        needed("policy", binary),
        sa.CheckConstraint(
            "policy IN ('fail', 'continue', 'ignore', 'remove')",
            name="dependency_policy",
        ),
    )
    d = dependency.c
    sa.Index("dependency_parent", d.parent_queue_id, d.parent_id, d.child_id)
    settled = sa.Table(
        "settled",
        tables,
        key("queue_id", sa.Integer()),
        key("parent_id", sa.BigInteger()),
        key("child_queue_id", sa.Integer()),
        key("child_id", sa.BigInteger()),
        needed("state", binary),
        needed("policy", binary),
        sa.Column("counted", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("result", sa.JSON),
        sa.Column("error", sa.Text),
    )
    sa.Index(
        "settled_failed",
        settled.c.queue_id,
        settled.c.parent_id,
        postgresql_where=sa.text(
            "state = 'failed' AND policy IN ('fail', 'continue') AND NOT counted"
        ),
    )
    dedup = sa.Table(
        "dedup",
        tables,
        key("queue_id", sa.Integer()),
        key("dedup_id", binary),
        needed("job_id", sa.BigInteger()),
        sa.Column("expires_at", instant),
        sa.Column("next", sa.JSON),
    )
    sa.Index("dedup_job", dedup.c.queue_id, dedup.c.job_id)
    sa.Index(
        "dedup_expiry",
        dedup.c.queue_id,
        dedup.c.expires_at,
        postgresql_where=dedup.c.expires_at.isnot(None),
    )
    sa.Index(
        "dedup_kept_back",
        dedup.c.queue_id,
        dedup.c.job_id,
        postgresql_where=dedup.c.next.isnot(None),
    )
    sa.Table(
        "cancelled",
        tables,
        key("queue_id", sa.Integer()),
        key("job_id", sa.BigInteger()),
    )
    sa.Table(
        "log",
        tables,
        key("queue_id", sa.Integer()),
        key("job_id", sa.BigInteger()),
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        needed("logged_at", instant),
        needed("line", sa.Text()),
    )
    sa.Table(
        "rate",
        tables,
        key("queue_id", sa.Integer()),
        sa.Column("claimed_at", instant, primary_key=True),
        needed("count", sa.Integer()),
    )
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
            "at", instant, nullable=False, server_default=sa.func.clock_timestamp()
        ),
        sa.Column("job_id", sa.BigInteger),
        needed("name", binary),
        sa.Column("data", sa.JSON),
    )
    sa.Table(
        "subscriber",
        tables,
        key("queue_id", sa.Integer()),
        key("consumer", binary),
        needed("xid", sa.BigInteger()),
        needed("event_id", sa.BigInteger()),
        needed("seen_at", instant),
        sa.Column("lost", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    sa.Table(
        "metric",
        tables,
        key("queue_id", sa.Integer()),
        key("minute", instant),
        key("worker_id", sa.BigInteger()),
        needed("completed", sa.BigInteger()),
        needed("failed", sa.BigInteger()),
        needed("latency", pg.ARRAY(sa.BigInteger)),
        needed("duration", pg.ARRAY(sa.BigInteger)),
    )
    sa.Table(
        "schedule",
        tables,
        key("queue_id", sa.Integer()),
        key("key", binary),
        sa.Column("next_at", instant),
        sa.Column("last_at", instant),
        sa.Column("job_id", sa.BigInteger),
        needed("iteration", sa.BigInteger()),
        sa.Column("behind", sa.Integer, nullable=False, server_default="0"),
        sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
        needed("rule", sa.JSON()),
        needed("template", sa.JSON()),
        sa.CheckConstraint(
            "(job_id IS NULL) = (next_at IS NULL)", name="schedule_has_a_job"
        ),
        sa.CheckConstraint(
            "char_length(key) BETWEEN 1 AND 255", name="schedule_key_length"
        ),
    )
