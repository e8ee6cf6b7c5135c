"""Rules of a worker: it claims, finishes, dies, and speaks when nobody listens."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from model.adding import options, rules, trees
from model.grouping import Grouping
from model.table import QUEUES, queues, some, which
from model.telling import Telling, calls
from pgqueue import WaitForChildren
from pgqueue.db.run import run
from pgqueue.ops import maintenance
from pgqueue.ops.releasing import release
from pgqueue.worker.executor import prepare
from pgqueue.worker.outcome import (
    COMPLETED,
    RELEASED,
    Expired,
    Outcome,
    failed,
    interrupted,
)

if TYPE_CHECKING:
    from model.records import Record
    from pgqueue import Dedup
    from pgqueue.worker.active_job import ActiveJob

endings = st.sampled_from(
    [
        *("completed", "result", "failed", "again", "later", "released", "children"),
        *("limited", "cut off"),
    ]
)
HOLD = 1000.0
"""For how long a handler that meets a limit holds up others."""


class Running(Telling, Grouping):
    """Runs."""

    @some("waiting")
    @rule(name=queues, limit=st.integers(1, 3), passes_on=st.integers(0, 3))
    def claim(self, name: str, limit: int, passes_on: int = 1) -> None:
        """Let jobs run; mostly their worker lives to let their schedules go on."""
        books, player = self.books, self.players[name]
        grouped = name in books.grouped
        claimed = player.claim(limit, limited=books.limited(name), grouped=grouped)
        room = min(limit, books.room(name))
        expected = books.line(name)[:room]
        if grouped:
            line, fresh = books.lines.setdefault(name, []), books.comes(name)
            # Those who come stand behind all others; among them anyone may be first.
            assert player.line[: len(line)] == line
            assert sorted(player.line[len(line) :]) == sorted(fresh)
            line[:] = player.line
            expected += books.serve(name, room - len(expected))
        assert [job.id for job in claimed] == [job.id for job in expected]
        books.start(expected, player.id)
        self.held += claimed
        if passes_on:
            player.pass_on(claimed)
            books.begun(expected)
        if grouped:
            # A schedule that went on may have a job that waits already.
            self.adopt()
            self.look_at_groups(name)

    @rule(name=queues, given=options, dedup=rules)
    def add_and_claim(self, name: str, given: dict[str, Any], dedup: Dedup) -> None:
        """Most of what a run can do to others it does to jobs with an id of theirs."""
        self.add_for(
            name,
            {**given, "delay": None, "lifo": True, "priority": 0, "group": None},
            dedup,
        )
        # Where it stands is learnt from the database.
        self.look()
        self.claim(name, 1)

    @some("waiting")
    @rule(
        name=queues,
        limit=st.sampled_from([1, 3, 6]),
        endings=st.lists(endings, min_size=6, max_size=6),
        delay=st.sampled_from([0.0, 2000.0]),
    )
    def work(self, name: str, limit: int, endings: list[str], delay: float) -> None:
        """Claim, and finish what runs, in whatever way."""
        self.claim(name, limit)
        mine = [job for job in self.held if job.queue == name]
        chosen = [
            (self.held.index(job), end) for job, end in zip(mine, endings, strict=False)
        ]
        if chosen:
            self.finish(chosen[:1] + [(0, end) for _, end in chosen[1:]], delay, True)

    @some("waiting")
    @rule(
        endings=st.lists(st.sampled_from(["result", "failed"]), min_size=6, max_size=6)
    )
    def run_dry(self, endings: list[str]) -> None:
        """Finish all that can be run, for good: families come to their ends."""
        for _ in range(2):
            for name in QUEUES:
                self.work(name, 6, endings, 0.0)
                self.look()

    @some("active")
    @rule(
        endings=st.lists(st.tuples(which, endings), min_size=1, max_size=3),
        delay=st.sampled_from([0.0, 2000.0]),
        releases=st.sampled_from([True, True, True, False]),
    )
    def finish(
        self, endings: list[tuple[int, str]], delay: float, releases: bool
    ) -> None:
        """Write the outcomes of one or more jobs of a queue in one go."""
        ended: list[tuple[ActiveJob, Outcome]] = []
        parents: set[int | None] = set()
        for nth, ending in endings:
            name = ended[0][0].queue if ended else None
            mine = [job for job in self.held if name in (None, job.queue)]
            if mine:
                active = mine[nth % len(mine)]
                self.held.remove(active)
                ended.append((active, self.outcome(active, ending, delay)))
        if not ended:
            return
        self.ask_of_children(ended[0][0])
        self.read_history(self.books.jobs[ended[0][0].id])
        player = self.players[ended[0][0].queue]
        gone: list[Record] = []
        ids = {active.id for active, _ in ended}
        assert ids <= player.finish(ended, releases=releases)
        for active, outcome in ended:
            gone.append(self.books.jobs[active.id])
            parents.add(self.note(gone[-1], outcome))
        self.books.settle_ids(ids)
        if any(job.lines or job.progress is not None for job in gone):
            self.sweep_behind()
        go_on = {one for one in parents if one is not None}
        if releases:
            self.books.release(go_on)
        else:
            self.books.left |= go_on

    @some("active")
    @rule(which=which, ending=st.sampled_from(["limited", "cut off"]))
    def put_back_unfinished(self, which: int, ending: str) -> None:
        """A handler meets a limit, of its group if it can be, or its worker stops."""
        of_groups = [job for job in self.held if job.group is not None]
        chosen = of_groups or self.held
        if chosen:
            nth = self.held.index(chosen[which % len(chosen)])
            self.finish([(nth, ending)], 0.0, True)

    def outcome(self, active: ActiveJob, ending: str, delay: float) -> Outcome:
        job = self.books.jobs[active.id]
        try:
            prepare(active)
        except Expired as error:
            assert job.late(job.started_at)
            return failed(active, error)
        assert not job.late(job.started_at)
        if ending == "again":
            ending = "retry" if job.attempt < job.attempts else "failed"
        return {
            "completed": COMPLETED,
            "result": Outcome("completed", encoded="1"),
            "failed": Outcome("failed", reason="it broke"),
            "retry": Outcome("retry", reason="it broke", delay=delay),
            "later": Outcome("later", delay=delay),
            "released": RELEASED,
            "limited": Outcome("limited", hold=HOLD),
            "cut off": interrupted(active, 1),
            "children": failed(active, WaitForChildren()),
        }[ending]

    def note(self, job: Record, outcome: Outcome) -> int | None:
        """Enter an outcome in the books; return who may go on."""
        books, ending = self.books, outcome.ending
        job.stalled += outcome.interrupted
        if ending in ("completed", "failed"):
            return books.finish(job, ending, outcome.reason or "")
        if ending == "children":
            job.attempt -= 1
            books.put(job, "waiting_children")
            return job.id
        if ending == "retry":
            job.fail(outcome.reason)
        else:
            job.attempt -= 1
        if ending == "limited":
            books.hold(job, HOLD)
        job.due = books.now + outcome.delay if outcome.delay else None
        books.ready(job)
        return None

    @some("active")
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
        else:
            self.books.left |= parents

    @precondition(lambda self: self.lost)
    @rule(which=which, tree=trees, call=calls)
    def speak_too_late(self, which: int, tree: dict[str, Any], call: str) -> None:
        active, worker_id = self.lost[which % len(self.lost)]
        player = copy.copy(self.players[active.queue])
        player.id = worker_id
        assert player.finish([(active, COMPLETED)], releases=True) == set()
        self.call_too_late(active, tree, call)
