"""Many writers at once: every follower sees every transition once, in a legal order."""

from __future__ import annotations

import os
import random
import threading
from collections import defaultdict
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg
import pytest

from following import nothing_holds_back
from invariants import assert_consistent
from pgqueue import Event, NewJob, Queue, QueueEvents
from processes import Process

if TYPE_CHECKING:
    from conftest import Sql

JOBS = int(os.environ.get("PGQUEUE_TEST_EVENT_JOBS", "10000"))
PRODUCERS = 20
WORKERS = 4

FOLLOWS = {
    None: {"added"},
    "added": {"waiting", "delayed"},
    "delayed": {"waiting"},
    "waiting": {"active"},
    "active": {"waiting", "delayed", "completed", "retries_exhausted"},
    "retries_exhausted": {"failed"},
}


def produce(dsn: str, count: int, seed: int) -> None:
    """Add jobs in transactions of all lengths, some given up."""
    dice = random.Random(seed)  # noqa: S311
    pause = threading.Event()
    with Queue("work", dsn=dsn) as queue, psycopg.connect(dsn) as own:
        while count:
            batch = min(count, dice.randrange(1, 20))
            jobs = [
                NewJob(
                    "job",
                    {"fail": dice.random() < 0.1, "result": seed},
                    attempts=dice.choice([1, 2]),
                    delay=dice.choice([None, None, 0.05]),
                    remove_on_complete=dice.choice([None, True]),
                )
                for _ in range(batch)
            ]
            queue.add_bulk(jobs, connection=own)
            pause.wait(dice.random() * 0.02)
            if dice.random() < 0.1:
                own.rollback()
                continue
            own.commit()
            count -= batch


class Following(threading.Thread):
    """Follows until all jobs have ended; leaves the loop and comes back meanwhile."""

    def __init__(self, dsn: str, consumer: str) -> None:
        super().__init__()
        self.events: list[Event] = []
        self._dsn = dsn
        self._consumer = consumer

    def run(self) -> None:
        ended = 0
        while ended < JOBS:
            with QueueEvents("work", self._consumer, dsn=self._dsn) as follower:
                for event in follower.follow(timeout=30):
                    self.events.append(event)
                    ended += event.name in ("completed", "failed")
                    if ended >= JOBS or len(self.events) % 999 == 0:
                        break
                else:
                    return


def check(events: list[Event]) -> None:
    assert len({event.id for event in events}) == len(events), "an event came twice"
    by_job: defaultdict[int | None, list[str]] = defaultdict(list)
    for event in events:
        by_job[event.job_id].append(event.name)
    by_job.pop(None, None)
    assert len(by_job) == JOBS
    for names in by_job.values():
        for before, name in zip([None, *names], names, strict=False):
            assert name in FOLLOWS.get(before, ()), names
        assert names[-1] in ("completed", "failed"), names


@pytest.mark.slow
def test_every_follower_sees_every_transition_once_and_in_order(
    dsn: str, sql: Sql
) -> None:
    followers = [Following(dsn, consumer) for consumer in ("one", "two")]
    for consumer in ("one", "two"):
        QueueEvents("work", consumer, dsn=dsn).subscribe()
    producers = [
        threading.Thread(target=produce, args=(dsn, JOBS // PRODUCERS, seed))
        for seed in range(PRODUCERS)
    ]
    with ExitStack() as stack:
        for _ in range(WORKERS):
            stack.enter_context(Process(dsn, concurrency=8))
        for thread in (*followers, *producers):
            thread.start()
        for thread in (*producers, *followers):
            thread.join(100)
    one, two = ([e for e in f.events if e.job_id is not None] for f in followers)
    check(one)
    assert [e.id for e in one] == [e.id for e in two[: len(one)]]
    assert_consistent(sql)


def test_a_killed_follower_misses_nothing(dsn: str) -> None:
    queue = Queue("work", dsn=dsn)
    QueueEvents("work", "one", dsn=dsn).subscribe()
    queue.add_bulk([NewJob("a")] * 1000)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        # Killed at once, without a chance to save where it is.
        for seen, _ in enumerate(QueueEvents("work", "one", dsn=dsn).follow(), 1):
            if seen == 700:
                os.write(write, b"x")
                os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"x"
    nothing_holds_back(dsn)
    rest = list(QueueEvents("work", "one", dsn=dsn).follow(timeout=0))
    assert 1300 <= len(rest) <= 1300 + 500
    for end in (read, write):
        os.close(end)
    queue.close()
