"""Rules of a worker: it claims, finishes, dies, and speaks when nobody listens."""

from __future__ import annotations

import copy

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from model.table import Table, queues, which
from pgqueue.db.run import run
from pgqueue.ops import maintenance
from pgqueue.ops.flows import release
from pgqueue.worker.outcome import CHILDREN, COMPLETED, RELEASED, Outcome


class Running(Table):
    """Runs."""

    @rule(name=queues, limit=st.integers(1, 3))
    def claim(self, name: str, limit: int) -> None:
        books, player = self.books, self.players[name]
        most = books.most.get(name)
        expected = [] if name in books.paused else books.line(name)[:limit]
        if most is not None:
            room = max(0, most - len(books.of(name, "active")))
            expected = expected[:room]
        claimed = player.claim(limit, limited=most is not None)
        assert [job.id for job in claimed] == [job.id for job in expected]
        for job in expected:
            job.attempt += 1
            books.put(job, "active")
            job.holder = player.id
        self.held += claimed

    @rule(
        which=which,
        ending=st.sampled_from(
            [
                "completed",
                "completed",
                "failed",
                "again",
                "later",
                "released",
                "children",
            ]
        ),
        delay=st.sampled_from([0.0, 2000.0]),
        releases=st.sampled_from([True, True, True, False]),
    )
    def finish(self, which: int, ending: str, delay: float, releases: bool) -> None:
        if not self.held:
            return
        active = self.held.pop(which % len(self.held))
        books, job = self.books, self.books.jobs[active.id]
        player = self.players[active.queue]
        if ending == "again":
            ending = "retry" if job.attempt < job.attempts else "failed"
        outcome = {
            "completed": COMPLETED,
            "failed": Outcome("failed", reason="it broke"),
            "retry": Outcome("retry", reason="it broke", delay=delay),
            "later": Outcome("later", delay=delay),
            "released": RELEASED,
            "children": CHILDREN,
        }[ending]
        assert player.finish(active, outcome, releases=releases)
        parents: set[int | None] = set()
        if ending in ("completed", "failed"):
            parents = {books.finish(job, ending)}
        elif ending == "children":
            job.attempt -= 1
            books.put(job, "waiting_children")
            parents = {job.id}
        else:
            job.attempt -= ending != "retry"
            job.runs += ending == "retry"
            job.due = books.now + delay if ending != "released" else None
            books.ready(job)
        if releases:
            books.release({one for one in parents if one is not None})

    @rule(name=queues, releases=st.booleans())
    def worker_dies(self, name: str, releases: bool) -> None:
        player = self.players[name]
        player.die()
        recovered = run(self.connection, maintenance.recover(1), "pgqueue")
        parents = self.books.recover(player.id, 1)
        mine = [job for job in self.held if job.queue == name]
        assert {one.job_id for one in recovered} == {job.id for job in mine}
        self.held = [job for job in self.held if job.queue != name]
        self.lost += [(job, player.id) for job in mine]
        player.begin_anew()
        if releases:
            op = release(maintenance.parents_of(recovered))
            run(self.connection, op, "pgqueue")
            self.books.release(parents)

    @precondition(lambda self: self.lost)
    @rule(which=which)
    def report_too_late(self, which: int) -> None:
        active, worker_id = self.lost[which % len(self.lost)]
        player = copy.copy(self.players[active.queue])
        player.id = worker_id
        assert not player.finish(active, COMPLETED, releases=True)
