"""Random trees, random operations: in the end no parent waits for nothing."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from claims import HandWorker
from invariants import assert_consistent
from pgqueue import FlowNode, FlowProducer, JobError, Queue
from pgqueue.db.run import run
from pgqueue.ops.releasing import FIRST, release_forgotten

if TYPE_CHECKING:
    from conftest import Sql

QUEUES = ("a", "b", "c")
POLICIES = ("fail", "continue", "ignore", "remove")


def tree(chance: random.Random, depth: int = 0) -> FlowNode:
    """Return a tree of up to four levels over several queues."""
    wide = chance.randint(0, 3) if depth < 3 else 0
    options: dict[str, Any] = {
        "delay": chance.choice([None, None, None, 0, 3600]),
        "priority": chance.choice([0, 0, 5]),
        "remove_on_fail": chance.choice([None, None, True]),
        "on_child_failure": chance.choice(POLICIES),
    }
    children = [tree(chance, depth + 1) for _ in range(wide)]
    return FlowNode("n", queue=chance.choice(QUEUES), children=children, **options)


class World:
    """Queues, workers and a source of chance."""

    def __init__(self, dsn: str, sql: Sql, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311  repeatable, not secret
        self.sql = sql
        self.flows = FlowProducer(dsn=dsn)
        self.queues = {name: Queue(name, dsn=dsn) for name in QUEUES}
        self.workers = {name: HandWorker(dsn, name) for name in QUEUES}
        self.held: list[tuple[str, Any]] = []

    def close(self) -> None:
        for closing in (self.flows, *self.queues.values(), *self.workers.values()):
            closing.close()

    def add(self) -> None:
        self.flows.add(tree(self.chance))

    def claim(self) -> None:
        name = self.chance.choice(QUEUES)
        claimed = self.workers[name].claim(self.chance.randint(1, 4))
        self.held += [(name, job) for job in claimed]

    def finish(self) -> None:
        if not self.held:
            return
        name, job = self.held.pop(self.chance.randrange(len(self.held)))
        worker = self.workers[name]
        # Now and then a worker dies between the outcome and the release.
        worker.releases = self.chance.random() > 0.2
        how = self.chance.choice(
            ["completed", "completed", "failed", "waiting_children"]
        )
        worker.finish([job], how, error="it broke" if how == "failed" else None)

    def add_child(self) -> None:
        if not self.held:
            return
        name, job = self.chance.choice(self.held)
        try:
            self.queues[self.chance.choice(QUEUES)].add(
                "n",
                parent=(name, job.id),
                on_child_failure=self.chance.choice(POLICIES),
            )
        except JobError:
            assert job.id not in {one.id for one in self.queues[name].jobs("active")}

    def remove(self) -> None:
        queue = self.queues[self.chance.choice(QUEUES)]
        jobs = queue.jobs(limit=500)
        if jobs:
            job = self.chance.choice(list(jobs))
            try:
                queue.remove(job.id, children=self.chance.random() < 0.5)
            except JobError:
                assert job.state == "active"

    def retry(self) -> None:
        queue = self.queues[self.chance.choice(QUEUES)]
        for job in queue.jobs(["completed", "failed"], limit=3):
            queue.retry(job.id)

    def sweep(self) -> None:
        queue = self.queues[self.chance.choice(QUEUES)]
        how = self.chance.random()
        if how < 0.4:
            queue.drain(delayed=self.chance.random() < 0.5)
        elif how < 0.8:
            state: Any = self.chance.choice(
                ["waiting", "delayed", "completed", "failed"]
            )
            queue.clean(0, limit=self.chance.randint(1, 5), state=state)
        else:
            queue.obliterate(force=True)

    def settle_down(self) -> None:
        """Let everything that can run do so, until nothing changes any more."""
        for _ in range(1000):
            for worker in self.workers.values():
                worker.releases = True
            while self.held:
                name, job = self.held.pop()
                self.workers[name].finish([job])
            self.sql.run("UPDATE pgqueue.delayed SET run_at = now() - interval '1s'")
            self.sql.run(
                "WITH due AS (DELETE FROM pgqueue.delayed RETURNING *)"
                " INSERT INTO pgqueue.ready (job_id, seq, queue_id, priority, attempt,"
                " stalled, moved) SELECT job_id, nextval('pgqueue.job_seq'), queue_id,"
                " priority, attempt, stalled, true FROM due"
            )
            place = run(
                self.workers["a"].connection, release_forgotten(FIRST), "pgqueue"
            )
            assert place == FIRST
            for name, queue in self.queues.items():
                queue.resume()
                self.held += [(name, job) for job in self.workers[name].claim(100)]
            if not self.held and not self.sql.value(
                "SELECT (SELECT count(*) FROM pgqueue.ready)"
                " + (SELECT count(*) FROM pgqueue.delayed)"
            ):
                return
        pytest.fail("it never settles down")


@pytest.mark.parametrize("seed", range(25))
def test_no_parent_is_left_waiting_whatever_was_done(
    dsn: str, sql: Sql, seed: int
) -> None:
    world = World(dsn, sql, seed)
    deeds = [
        *(world.add,) * 3,
        *(world.claim,) * 5,
        *(world.finish,) * 8,
        *(world.add_child,) * 2,
        *(world.remove,) * 2,
        world.retry,
        world.sweep,
    ]
    try:
        for _ in range(60):
            world.chance.choice(deeds)()
            assert_consistent(sql)
        world.settle_down()
        assert_consistent(sql)
        assert sql.all("SELECT * FROM pgqueue.blocked") == []
        assert sql.all("SELECT * FROM pgqueue.dependency") == []
    finally:
        world.close()
