"""The tables of what ties jobs together: flows, deduplication, schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue.schema.columns import binary, instant, key, needed

if TYPE_CHECKING:
    from sqlalchemy import MetaData


def add_relations(tables: MetaData) -> None:
    """Add parents and children, ids of deduplication, schedules, what is cancelled."""
    import sqlalchemy as sa  # noqa: PLC0415

    dependency = sa.Table(
        "dependency",
        tables,
        key("queue_id", sa.Integer()),
        key("child_id", sa.BigInteger()),
        needed("parent_id", sa.BigInteger()),
        needed("parent_queue_id", sa.Integer()),
        needed("policy", binary()),
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
        needed("state", binary()),
        needed("policy", binary()),
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
        key("dedup_id", binary()),
        needed("job_id", sa.BigInteger()),
        sa.Column("expires_at", instant()),
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
        "schedule",
        tables,
        key("queue_id", sa.Integer()),
        key("key", binary()),
        sa.Column("next_at", instant()),
        sa.Column("last_at", instant()),
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
    sa.Table(
        "cancelled",
        tables,
        key("queue_id", sa.Integer()),
        key("job_id", sa.BigInteger()),
    )
