"""Rules of time: it passes, jobs come due, maintenance makes its rounds.

Time is moved by moving what the rows say, as it is for tests of applications.
"""

from __future__ import annotations

from typing import Any

from hypothesis.stateful import rule

from model.books import FINISHED
from model.table import Table
from pgqueue.db.run import run
from pgqueue.ops import maintenance
from pgqueue.ops.core import Statement
from pgqueue.ops.groups import trim_rates
from pgqueue.ops.releasing import FIRST, release_forgotten
from pgqueue.ops.testing import shift_clock

STEP = 1300.0
"""How far time is moved; every delay is a multiple of 1000, so nothing is due about now."""


class Passing(Table):
    """Lets time pass."""

    @rule()
    def time_passes(self) -> None:
        run(self.connection, shift_clock(STEP), "pgqueue")
        self.books.now += STEP
        for name, player in self.players.items():
            due = [
                job
                for job in self.books.of(name, "delayed")
                if (job.due or 0.0) <= self.books.now
            ]
            params = {"queue_id": player.queue_id, "low": 0.0, "limit": 1000}
            run(self.connection, one_statement("promote_jobs", params), "pgqueue")
            for job in due:
                self.books.put(job, "waiting")

    @rule()
    def maintain(self) -> None:
        run(self.connection, release_forgotten(FIRST), "pgqueue")
        books = self.books
        books.release({j.id for j in books.jobs.values()})
        self.mend()
        self.adopt()
        for name, player in self.players.items():
            run(self.connection, maintenance.prune(player.queue_id, 0.0), "pgqueue")
            over = [
                j
                for j in books.of(name, *FINISHED)
                if j.gone_at is not None and j.gone_at <= books.now
            ]
            books.forget(over, pruned=True)
            run(self.connection, maintenance.trim(player.queue_id), "pgqueue")
            for state in FINISHED:
                rows = books.of(name, state)[::-1]
                giving = [j for j in rows if j.newest is not None]
                # Of jobs that finished at the same instant any may be the newest.
                most = {j.newest for j in giving if j.place == giving[0].place}
                if most:
                    left = {len(rows[:one]) for one in most}
                    count = left.pop() if len(left) == 1 else self.kept(name, state)
                    assert not left or count in left
                    books.forget(rows[count:], pruned=True)
            op = maintenance.settle_queue(player.queue_id)
            run(self.connection, op, "pgqueue")
            waiting = books.of(name, "waiting", "delayed", "waiting_children")
            books.cancel([j for j in waiting if j.id in books.marks])
            books.settle_late(name)
            run(self.connection, trim_rates(player.queue_id), "pgqueue")

    def kept(self, name: str, state: str) -> int:
        counts = self.queues[name].counts(connection=self.connection)
        count: int = getattr(counts, state)
        return count


def one_statement(name: str, params: dict[str, object]) -> Any:
    yield Statement(name, params)
