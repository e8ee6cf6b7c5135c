"""Rules of what a handler does while its job runs, and of what others tell about jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from model.adding import Adding, node, trees
from model.table import STATES, Move, moves, some, which
from pgqueue import LeaseLost
from pgqueue.compat.bullmq import reading
from pgqueue.db.run import run
from pgqueue.ops import maintenance
from pgqueue.ops.flows import children_failures, children_values

if TYPE_CHECKING:
    from model.records import Record
    from pgqueue.worker.active_job import ActiveJob

words = st.integers(0, 99)
calls = st.sampled_from(["progress", "log", "data", "child"])


class Telling(Adding):
    """Reports, logs, and adds children."""

    def mine(self, which: int) -> tuple[ActiveJob, Record]:
        """Return one of the jobs that run, as its handler has it."""
        active = self.held[which % len(self.held)]
        return active, self.books.jobs[active.id]

    @precondition(lambda self: self.held)
    @rule(
        move=moves(
            report_progress={"which": which, "word": words},
            report_line={"which": which, "word": words},
            replace_data={"which": which, "word": words},
        )
    )
    def speak(self, move: Move) -> None:
        """Let a handler speak of its job."""
        self.play(move)

    def report_progress(self, which: int, word: int) -> None:
        active, job = self.mine(which)
        active.update_progress(word)
        job.progress = word
        self.books.tell(job, "progress")

    def report_line(self, which: int, word: int) -> None:
        active, job = self.mine(which)
        active.log(f"{word}")
        job.log(f"{word}")

    def replace_data(self, which: int, word: int) -> None:
        active, job = self.mine(which)
        active.update_data(word)
        job.data = word

    @precondition(lambda self: self.held)
    @rule(which=which, tree=trees)
    def add_own_child(self, which: int, tree: dict[str, Any]) -> None:
        """A child, or a tree of them, from a handler; it need not wait for it."""
        active, job = self.mine(which)
        self.fit_tree(tree)
        added: Any = active.add_child(node(tree))
        self.enter_flow(added, tree, job.id)

    @some(*STATES)
    @rule(
        move=moves(
            note_line={"which": which, "word": words},
            note_progress={"which": which, "word": words},
        )
    )
    def tell(self, move: Move) -> None:
        """Let others speak of a job."""
        self.play(move)

    def ask_of_children(self, active: ActiveJob) -> None:
        """What a handler is told of its children is what they left."""
        left = {
            child: one.state
            for (up, child), one in self.books.settled.items()
            if up == active.id
        }
        place = (active.queue_id, active.id)
        values = run(self.connection, children_values(*place), "pgqueue")
        failures = run(self.connection, children_failures(*place), "pgqueue")
        assert values.keys() == {c for c, state in left.items() if state != "failed"}
        assert failures.keys() == {c for c, state in left.items() if state == "failed"}

    def call_too_late(self, active: ActiveJob, tree: dict[str, Any], call: str) -> None:
        """What a handler says is refused once its lease has ended."""
        self.fit_tree(tree)
        late = {
            "progress": lambda: active.update_progress(0),
            "log": lambda: active.log("too late"),
            "data": lambda: active.update_data("too late"),
            "child": lambda: active.add_child(node(tree)),
        }
        with pytest.raises(LeaseLost), self.connection.transaction():
            late[call]()

    def note_line(self, which: int, word: int) -> None:
        if job := self.pick(which, *STATES):
            queue = self.queues[job.queue]
            queue.log(job.id, f"{word}", connection=self.connection)
            job.log(f"{word}")

    def note_progress(self, which: int, word: int) -> None:
        """As those do who came from BullMQ: not only a handler reports."""
        if job := self.pick(which, *STATES):
            op = reading.set_progress(job.queue, job.id, word)
            run(self.connection, op, "pgqueue")
            job.progress = word
            self.books.tell(job, "progress")

    def read_history(self, job: Record) -> None:
        """One row for each failed attempt, the oldest first; the log; the progress."""
        queue = self.queues[job.queue]
        attempts = queue.attempts(job.id, connection=self.connection)
        assert [(one.attempt, one.error) for one in attempts] == job.failures
        lines = queue.logs(job.id, connection=self.connection)
        assert [one.line for one in lines] == job.lines
        found = queue.get(job.id, connection=self.connection)
        assert (found.progress, found.data) == (job.progress, job.data)

    def sweep_behind(self) -> None:
        """Do what maintenance does for jobs that are gone, of which others have told."""
        for player in self.players.values():
            op = maintenance.sweep_traces(player.queue_id, 0)
            run(self.connection, op, "pgqueue")
