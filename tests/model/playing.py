"""A worker of one queue, played by hand: its real statements, outcomes and finisher."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from pgqueue import sql as statements
from pgqueue.db.run import run
from pgqueue.ops import leases
from pgqueue.ops.core import Statement
from pgqueue.ops.releasing import release
from pgqueue.ops.schedules import Begun, advance
from pgqueue.worker.active_job import ActiveJob, Done
from pgqueue.worker.emitter import Emitter
from pgqueue.worker.finisher import Finisher
from pgqueue.worker.intake import Intake

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from pgqueue.worker.committer import Committer
    from pgqueue.worker.outcome import Outcome

IN_LINE = """
    SELECT "group" FROM pgqueue.line WHERE queue_id = %s AND until IS NULL ORDER BY turn
"""
worker_ids = itertools.count(1)


class Player:
    """Claims and finishes on the connection it is given, in its transaction if any."""

    def __init__(self, connection: Connection[Any], queue: str) -> None:
        self.connection = connection
        self.queue = queue
        self.line: list[str] = []
        self.begin_anew()

    def begin_anew(self) -> None:
        """Register as a worker that was just started."""
        self.id = next(worker_ids)
        op = leases.register(
            self.id,
            lease=1e6,
            pid=1,
            concurrency=1,
            host="here",
            name=f"worker-{self.id}",
            queues=[self.queue],
        )
        self.queue_id = run(self.connection, op, "pgqueue")[self.queue]

    def die(self) -> None:
        """Miss heartbeats until the leases have ended."""
        self.connection.execute(
            "UPDATE pgqueue.worker SET heartbeat_at = '-infinity' WHERE id = %s",
            [self.id],
        )
        self.connection.execute(
            "UPDATE pgqueue.lease SET claimed_at = claimed_at - interval '1 minute'"
            " WHERE worker_id = %s",
            [self.id],
        )

    def claim(
        self, limit: int, *, limited: bool = False, grouped: bool = False
    ) -> list[ActiveJob]:
        """Claim as a worker does that knows nothing of where jobs stand."""
        intake = Intake(self.queue, self.queue_id, limited=limited, grouped=grouped)
        with self.connection.transaction():
            if limited or grouped:
                place = {"queue_ids": [self.queue_id]}
                self.send(Statement("lock_limits", place))
            if grouped:
                self.send(Statement("form_line", {"queue_id": self.queue_id}))
                line = self.connection.execute(IN_LINE, [self.queue_id])
                self.line = [group for (group,) in line]
            rows = self.send(intake.claim(self.id, limit, 0.0))
        claimed = [ActiveJob(self.queue, self.queue_id, row) for row in rows]
        for job in claimed:
            job.reporter = Speaker(self.connection, self.id)
        return claimed

    def pass_on(self, claimed: Sequence[ActiveJob]) -> None:
        """Let the schedules of jobs that have begun go on."""
        begun = [
            Begun(self.queue_id, job.schedule, job.id)
            for job in claimed
            if job.schedule is not None
        ]
        if begun:
            held, _, problems = run(self.connection, advance(begun), "pgqueue")
            assert not problems
            # Held by nobody, one that finds nothing has gone on already.
            assert held <= set(begun)

    def finish(
        self, ended: Sequence[tuple[ActiveJob, Outcome]], *, releases: bool
    ) -> set[int]:
        """Write outcomes together; return the ids of the jobs whose outcome counted.

        Args:
            releases: false: the worker is gone before it looked at the parents.
        """
        finisher = Finisher(Emitter(), None, None)
        for job, outcome in ended:
            finisher.add(job, outcome, 0.01)
        taken = finisher.take()
        with self.connection.transaction():
            answers = [self.send(one) for one in finisher.statements(self.id, taken)]
        parents = finisher.settle(taken, answers)
        if parents and releases:
            run(self.connection, release(parents), "pgqueue")
        written = {row[0] for rows in answers for row in rows}
        return written & {job.id for job, _ in ended}

    def send(self, statement: Statement) -> list[Any]:
        """Execute one statement."""
        text = statements.load(statement.name)
        cursor = self.connection.execute(text, statement.params)
        return cursor.fetchall() if cursor.description else []


class Speaker:
    """How the calls of a played job reach the database: at once, on the connection."""

    def __init__(self, connection: Connection[Any], worker_id: int) -> None:
        self.connection = connection
        self.worker_id = worker_id

    @property
    def committer(self) -> Committer:
        raise NotImplementedError("no job is played in a transaction of its own")

    def progress(self, job: ActiveJob, value: str) -> Done:
        """Store progress, guarded by the lease."""
        return self.call(
            job,
            leases.save_progress(
                self.worker_id, job.queue_id, job.lease_id, job.id, value
            ),
        )

    def call(self, _: ActiveJob, op: Any) -> Any:
        """Run an operation of a job's own."""
        found = run(self.connection, op, "pgqueue")
        return Done() if found is None else found
