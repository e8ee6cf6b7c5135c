"""The table a game is played on: queues, a worker for each, and the books beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition

from model.books import FINISHED
from model.cadences import ScheduleBooks
from model.deduplicating import Standing
from model.looking import check
from model.playing import Player
from model.records import Record
from pgqueue import FlowProducer, Queue
from pgqueue.db.run import run
from pgqueue.ops.schedules import repair

if TYPE_CHECKING:
    import psycopg

    from pgqueue.worker.active_job import ActiveJob

QUEUES = ("a", "b")
GROUPS = ("g", "h", "i")
FOLLOWED = "a"
STATES = ("waiting", "delayed", "waiting_children", "active", *FINISHED)
LIMITS = ("expires", "keep_logs", "stack_limit")
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
    "group_limit",
    "group_rate",
    "arrival",
    "line",
]
EMPTY = ";".join(f"DELETE FROM pgqueue.{table}" for table in TABLES)
FOLLOW = """
    WITH followed AS (
        UPDATE pgqueue.queue SET events = true WHERE name = %s RETURNING id)
    INSERT INTO pgqueue.subscriber (queue_id, consumer, xid, event_id, seen_at)
    SELECT id, 'books', 0, 0, clock_timestamp() FROM followed
"""
PENDING = """
    SELECT s.job_id FROM pgqueue.schedule s JOIN pgqueue.queue q ON q.id = s.queue_id
    WHERE q.name = %s AND s.key = %s
"""
STANDS = """
    SELECT d.job_id FROM pgqueue.dedup d JOIN pgqueue.queue q ON q.id = d.queue_id
    WHERE q.name = %s AND d.dedup_id = %s
"""

which = st.integers(0, 7)
queues = st.sampled_from(QUEUES)
Move = tuple[str, dict[str, Any]]


def moves(**given: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Move]:
    """Return moves that are as likely together as one rule: methods, with arguments."""
    return st.one_of(
        *(
            st.tuples(st.just(name), st.fixed_dictionaries(strategies))
            for name, strategies in given.items()
        )
    )


def some(*states: str) -> Any:
    """Play a rule only while there are jobs in one of these states."""
    return precondition(
        lambda self: any(job.state in states for job in self.books.jobs.values())
    )


class Table(RuleBasedStateMachine):
    """What all rules share; after each the whole database is compared with the books."""

    connection: psycopg.Connection[Any]

    def set_up(self, grouped: tuple[str, ...]) -> None:
        """Begin with nothing; only in some queues are jobs of groups."""
        self.connection.execute(EMPTY)
        self.books = ScheduleBooks()
        self.queues = {name: Queue(name, dsn="postgresql://") for name in QUEUES}
        self.players = {name: Player(self.connection, name) for name in QUEUES}
        self.flows = FlowProducer(dsn="postgresql://")
        self.held: list[ActiveJob] = []
        self.lost: list[tuple[ActiveJob, int]] = []
        self.saved: Any = None
        self.has_groups = grouped
        self.connection.execute(FOLLOW, [FOLLOWED])
        now = self.connection.execute("SELECT clock_timestamp()").fetchone()
        assert now is not None
        self.origin = now[0]

    def play(self, move: Move) -> None:
        name, given = move
        getattr(self, name)(**given)

    def pick(self, which: int, *states: str) -> Record | None:
        """Return one of the jobs in some states."""
        found = sorted(
            (j for j in self.books.jobs.values() if j.state in states),
            key=lambda j: j.id,
        )
        return found[which % len(found)] if found else None

    def fit(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        """Return options for a queue: only some games have groups in it."""
        return given if name in self.has_groups else {**given, "group": None}

    def entered(
        self, job: int, queue: str, given: dict[str, Any], **more: Any
    ) -> Record:
        """Return the record of a job that was just added."""
        due = None if given["delay"] is None else self.books.now + given["delay"]
        return Record(
            job,
            queue,
            "waiting" if due is None else "delayed",
            priority=given["priority"],
            attempts=given["attempts"],
            due=due,
            group=given["group"],
            limits={key: given[key] for key in LIMITS},
            rules={key: given[key] for key in given if key.startswith("remove_on")},
            **more,
        )

    def look(self) -> None:
        """Compare the database with the books, and learn from it what only it knows."""
        self.adopt()
        if self.books.stuck():
            self.mend()
            self.adopt()
        check(self.connection, self.books, FOLLOWED)

    def mend(self) -> None:
        """Let schedules go on whose pending job is gone, as maintenance does."""
        ids = [player.queue_id for player in self.players.values()]
        assert run(self.connection, repair(ids), "pgqueue") == []
        self.books.repair()

    def adopt(self) -> None:
        """Take in what was kept back, or is the next of a schedule; only ids are new."""
        for queue, key in self.books.due_jobs:
            found = self.connection.execute(PENDING, [queue, key]).fetchone()
            one = self.books.schedules.get((queue, key))
            if one is not None:
                assert found is not None, f"schedule {key} has no job"
                one.job = found[0]
                late = (one.next or 0.0) - self.books.now
                new = self.entered(found[0], queue, {**one.given, "delay": late})
                new.occurrence = one.next
                if late <= 0:
                    new.state, new.due = "waiting", None
                self.books.add(new)
        self.books.due_jobs.clear()
        for (queue, dedup_id), given in self.books.owed:
            found = self.connection.execute(STANDS, [queue, dedup_id]).fetchone()
            key = given["key"]
            standing = self.books.keyed(queue, key)
            if standing is not None:
                assert found is None or found[0] != standing.id
                self.books.tell(standing, "duplicated")
                continue
            assert found is not None, f"what was kept back for {dedup_id} was not added"
            new = self.entered(found[0], queue, given, key=key)
            self.books.ids[queue, dedup_id] = Standing(new.id, None)
            self.books.add(new)
        self.books.owed.clear()

    def check_invariants(self, *args: Any, **kwargs: Any) -> None:
        super().check_invariants(*args, **kwargs)
        if hasattr(self, "books"):
            self.look()
            self.count()

    def count(self) -> None:
        """Compare what the queues count."""
        for queue in self.queues.values():
            counts = queue.counts(connection=self.connection)
            backlog = self.books.of(
                queue.name, "waiting", "delayed", "waiting_children"
            )
            assert queue.count(connection=self.connection) == len(backlog)
            for state in STATES:
                count = len(self.books.of(queue.name, state))
                found = getattr(counts, state)
                found += counts.prioritized if state == "waiting" else 0
                assert found == count

    def teardown(self) -> None:
        if self.connection.info.transaction_status:
            self.connection.execute("ROLLBACK")
