"""Play a worker by hand: register, claim and finish by the real statements."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from pgqueue import sql as statements
from pgqueue.db.run import run
from pgqueue.ops import leases
from pgqueue.ops.releasing import Parent, release

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

worker_ids = itertools.count(1)

LOWEST, HIGHEST = (-1, -(2**63)), (2**21, 0)


class Claimed(NamedTuple):
    """A job under a lease."""

    lease: int
    id: int
    priority: int
    seq: int
    attempt: int
    stalled: int


class HandWorker:
    """A worker of one queue, on a connection of its own."""

    def __init__(self, dsn: str, queue: str = "paint", *, lease: float = 60) -> None:
        self.id = next(worker_ids)
        self.releases = True
        self.turn = 0
        self.connection: Connection[Any] = psycopg.connect(dsn, autocommit=True)
        op = leases.register(
            self.id,
            lease=lease,
            pid=1,
            concurrency=1,
            host="here",
            name=f"worker-{self.id}",
            queues=[queue],
        )
        self.queue_id = run(self.connection, op, "pgqueue")[queue]

    def claim(self, limit: int = 1) -> list[Claimed]:
        """Claim as a worker without seek hints does."""
        params = {
            "queue_id": self.queue_id,
            "worker_id": self.id,
            "from_priority": [LOWEST[0]],
            "from_seq": [LOWEST[1]],
            "to_priority": [HIGHEST[0]],
            "to_seq": [HIGHEST[1]],
            "limit": limit,
        }
        rows = self._execute("claim_jobs", params)
        return [Claimed(*row[:6]) for row in rows]

    def claim_limited(self, limit: int = 1) -> list[Claimed]:
        """Claim as a worker of a queue with limits does."""
        params = {
            "queue_id": self.queue_id,
            "worker_id": self.id,
            "from_priority": [LOWEST[0]],
            "from_seq": [LOWEST[1]],
            "to_priority": [HIGHEST[0]],
            "to_seq": [HIGHEST[1]],
            "limit": limit,
        }
        with self.connection.transaction():
            self._execute("lock_limits", {"queue_ids": [self.queue_id]})
            rows = self._execute("claim_limited", params)
        return [Claimed(*row[:6]) for row in rows]

    def claim_grouped(self, limit: int = 1) -> list[Claimed]:
        """Claim as a worker of a queue with groups does."""
        params = {
            "queue_id": self.queue_id,
            "worker_id": self.id,
            "from_priority": [LOWEST[0]],
            "from_seq": [LOWEST[1]],
            "to_priority": [HIGHEST[0]],
            "to_seq": [HIGHEST[1]],
            "from_turn": self.turn,
            "limit": limit,
        }
        with self.connection.transaction():
            self._execute("lock_limits", {"queue_ids": [self.queue_id]})
            self.connection.execute(
                statements.load("form_line"), {"queue_id": self.queue_id}
            )
            rows = self._execute("claim_grouped", params)
        if rows:
            self.turn = rows[0][14] or self.turn
        return [Claimed(*row[:6]) for row in rows]

    def finish(
        self, jobs: Sequence[Claimed], state: str = "completed", **outcome: Any
    ) -> list[int]:
        """Report one outcome for each job; return the ids that were accepted."""
        outcomes = [
            {
                "lease": job.lease,
                "job": job.id,
                "state": state,
                "attempt": job.attempt,
                "stalled": job.stalled,
                "priority": job.priority,
                "failure": state == "failed",
                "ran": 0.01,
                "traces": True,
                "child": True,
                "ended": state if state in ("completed", "failed") else None,
                **outcome,
            }
            for job in jobs
        ]
        params = {
            "outcomes": json.dumps(outcomes),
            "queue_ids": [self.queue_id],
            "worker_id": self.id,
            "lease_ids": sorted({job.lease for job in jobs}),
        }
        rows = self._execute("finish_jobs", params)
        parents = {Parent(row[1], row[2]) for row in rows if row[2] is not None}
        if state == "waiting_children":
            parents |= {Parent(self.queue_id, job.id) for job in jobs}
        if parents and self.releases:
            run(self.connection, release(parents), "pgqueue")
        return [row[0] for row in rows]

    def fail(self, jobs: Sequence[Claimed], **outcome: Any) -> list[int]:
        return self.finish(jobs, "failed", error="it broke", **outcome)

    def report(self, job: Claimed, progress: Any) -> None:
        value = json.dumps(progress)
        op = leases.save_progress(self.id, self.queue_id, job.lease, job.id, value)
        run(self.connection, op, "pgqueue")

    def renew(self) -> bool:
        return run(self.connection, leases.renew(self.id), "pgqueue")

    def miss_heartbeats(self) -> None:
        """Let the lease end, as if this worker had hung for an hour."""
        self.connection.execute(
            "UPDATE pgqueue.worker SET heartbeat_at = heartbeat_at - interval '1 hour'"
            " WHERE id = %s",
            [self.id],
        )

    def close(self) -> None:
        self.connection.close()

    def _execute(self, name: str, params: dict[str, Any]) -> list[Any]:
        return self.connection.execute(statements.load(name), params).fetchall()
