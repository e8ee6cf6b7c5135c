"""The table a game is played on: queues, a worker for each, and the books beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from model.books import FINISHED, Books, Record
from model.looking import check
from model.playing import Player
from pgqueue import FlowProducer, Queue

if TYPE_CHECKING:
    import psycopg

    from pgqueue.worker.active_job import ActiveJob

QUEUES = ("a", "b")
FOLLOWED = "a"
STATES = ("waiting", "delayed", "waiting_children", "active", *FINISHED)
TABLES = [
    "queue",
    "job",
    "ready",
    "delayed",
    "lease",
    "blocked",
    "finished",
    "attempt",
    "progress",
    "log",
    "dependency",
    "settled",
    "dedup",
    "cancelled",
    "rate",
    "event",
    "subscriber",
    "metric",
    "schedule",
    "worker",
]
EMPTY = ";".join(f"DELETE FROM pgqueue.{table}" for table in TABLES)
FOLLOW = """
    WITH followed AS (
        UPDATE pgqueue.queue SET events = true WHERE name = %s RETURNING id)
    INSERT INTO pgqueue.subscriber (queue_id, consumer, xid, event_id, seen_at)
    SELECT id, 'books', 0, 0, clock_timestamp() FROM followed
"""

which = st.integers(0, 7)
queues = st.sampled_from(QUEUES)


class Table(RuleBasedStateMachine):
    """What all rules share; after each the whole database is compared with the books."""

    connection: psycopg.Connection[Any]

    @initialize()
    def begin(self) -> None:
        self.connection.execute(EMPTY)
        self.books = Books()
        self.queues = {name: Queue(name, dsn="postgresql://") for name in QUEUES}
        self.players = {name: Player(self.connection, name) for name in QUEUES}
        self.flows = FlowProducer(dsn="postgresql://")
        self.held: list[ActiveJob] = []
        self.lost: list[tuple[ActiveJob, int]] = []
        self.saved: Any = None
        self.connection.execute(FOLLOW, [FOLLOWED])

    def pick(self, which: int, *states: str) -> Record | None:
        """Return one of the jobs in some states."""
        found = sorted(
            (j for j in self.books.jobs.values() if j.state in states),
            key=lambda j: j.id,
        )
        return found[which % len(found)] if found else None

    def check_invariants(self, *args: Any, **kwargs: Any) -> None:
        super().check_invariants(*args, **kwargs)
        if hasattr(self, "books"):
            check(self.connection, self.books, FOLLOWED)
            for name, queue in self.queues.items():
                counts = queue.counts(connection=self.connection)
                assert counts.waiting + counts.prioritized == len(
                    self.books.of(name, "waiting")
                )
                backlog = self.books.of(name, "waiting", "delayed", "waiting_children")
                assert queue.count(connection=self.connection) == len(backlog)

    def teardown(self) -> None:
        if self.connection.info.transaction_status:
            self.connection.execute("ROLLBACK")
