"""Rules of those who look after single jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from model.books import FINISHED
from model.table import STATES, Move, Table, moves, queues, some, which
from pgqueue import JobError

if TYPE_CHECKING:
    from model.records import Record


class Steering(Table):
    """Moves, changes, stops and removes jobs."""

    @some(*FINISHED)
    @rule(
        move=moves(
            retry={"which": which, "reset": st.booleans()},
            retry_all={"name": queues, "state": st.sampled_from(FINISHED)},
        )
    )
    def put_back(self, move: Move) -> None:
        """Let finished jobs run again."""
        self.play(move)

    def retry(self, which: int, reset: bool) -> None:
        if job := self.pick(which, *FINISHED):
            self.queues[job.queue].retry(
                job.id, reset_attempts=reset, connection=self.connection
            )
            self.books.again([job], reset=reset)

    def retry_all(self, name: str, state: Any) -> None:
        jobs = self.books.of(name, state)
        count = self.queues[name].retry_all(state, connection=self.connection)
        assert count == len(jobs)
        self.books.again(jobs)

    @some("delayed")
    @rule(
        move=moves(
            promote={"which": which},
            promote_all={"name": queues},
        )
    )
    def let_run(self, move: Move) -> None:
        """Let delayed jobs run now."""
        self.play(move)

    def promote(self, which: int) -> None:
        if job := self.pick(which, "delayed"):
            self.queues[job.queue].promote(job.id, connection=self.connection)
            self.books.put(job, "waiting")

    def promote_all(self, name: str) -> None:
        jobs = self.books.of(name, "delayed")
        count = self.queues[name].promote_all(connection=self.connection)
        assert count == len(jobs)
        for job in jobs:
            self.books.put(job, "waiting")

    @some(*STATES)
    @rule(
        move=moves(
            change_priority={
                "which": which,
                "priority": st.sampled_from([0, 2]),
                "lifo": st.booleans(),
            },
            change_delay={"which": which, "delay": st.sampled_from([0, 1000, 5000])},
            update_data={"which": which},
        )
    )
    def change(self, move: Move) -> None:
        """Change one job."""
        self.play(move)

    def change_priority(self, which: int, priority: int, lifo: bool) -> None:
        if job := self.pick(which, "waiting", "delayed", "waiting_children"):
            self.queues[job.queue].change_priority(
                job.id, priority, lifo=lifo, connection=self.connection
            )
            job.priority, job.fresh = priority, True
            if job.state == "waiting" and job.group is not None:
                self.books.arrive(job.queue, job.group, again=False)

    def change_delay(self, which: int, delay: int) -> None:
        if job := self.pick(which, "delayed"):
            self.queues[job.queue].change_delay(
                job.id, delay, connection=self.connection
            )
            job.due = self.books.now + delay
            self.books.tell(job, "delayed")

    def update_data(self, which: int) -> None:
        if job := self.pick(which, *STATES):
            queue = self.queues[job.queue]
            try:
                queue.update_data(job.id, {"n": which}, connection=self.connection)
            except JobError:
                assert job.state == "active"
            else:
                assert job.state != "active"
                job.data = {"n": which}

    @some(*STATES)
    @rule(which=which)
    def cancel(self, which: int) -> None:
        if job := self.pick(which, *STATES):
            try:
                self.queues[job.queue].cancel(job.id, connection=self.connection)
            except JobError:
                assert job.state in FINISHED
                return
            assert job.state not in FINISHED
            if job.state == "active":
                self.books.marks.add(job.id)
            else:
                self.books.cancel([job])

    @some(*STATES)
    @rule(which=which, children=st.booleans())
    def remove(self, which: int, children: bool) -> None:
        job = self.pick(which, *STATES)
        if job is None:
            return
        queue = self.queues[job.queue]
        try:
            removed = queue.remove(
                job.id, children=children, connection=self.connection
            )
        except JobError:
            assert job.state == "active"
            return
        assert removed
        assert job.state != "active"
        level = self.below([job]) if children else []
        self.books.forget([job])
        while level:
            following: list[Record] = []
            for name in dict.fromkeys(one.queue for one in level):
                mine = [one for one in level if one.queue == name]
                mine = [one for one in mine if one.state != "active"]
                mine = [one for one in mine if one.id in self.books.jobs]
                following += self.below(mine)
                self.books.forget(mine)
            level = following

    def below(self, jobs: list[Record]) -> list[Record]:
        ids, books = {job.id for job in jobs}, self.books
        found = {child for child, (up, _) in books.waits.items() if up in ids}
        found |= {child for up, child in books.settled if up in ids}
        return [books.jobs[child] for child in sorted(found) if child in books.jobs]
