"""What a queue keeps is set, read, and applied to what finishes afterwards."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import ConfigError, KeepJobs, Queue, QueueRetention
from pgqueue.db.run import run
from pgqueue.ops import events, maintenance
from pgqueue.testing import travel

if TYPE_CHECKING:
    from claims import HandWorker
    from conftest import Sql

USUAL = QueueRetention(
    completed=KeepJobs(age=604_800.0),
    failed=KeepJobs(age=2_592_000.0),
    events=KeepJobs(age=86_400.0, count=1_000_000),
)


def test_a_queue_that_was_never_used_has_the_usual_rules(queue: Queue) -> None:
    assert queue.retention() == USUAL
    queue.add("a")
    assert queue.retention() == USUAL


def test_rules_are_set_one_by_one_and_the_others_stay(queue: Queue) -> None:
    queue.set_retention(completed=KeepJobs(age=timedelta(hours=1), count=10))
    queue.set_retention(failed=None)
    queue.set_event_bounds(age=60)
    queue.set_event_bounds(count=5)
    assert queue.retention() == QueueRetention(
        completed=KeepJobs(age=3600.0, count=10),
        failed=KeepJobs(),
        events=KeepJobs(age=60.0, count=5),
    )
    queue.set_retention(completed=7, failed=False)
    assert queue.retention().completed == KeepJobs(count=7)
    queue.obliterate()
    assert queue.retention() == USUAL


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"completed": True}, "completed"),
        ({"failed": -1}, "failed"),
        ({"completed": "7d"}, "completed"),
        ({"completed": KeepJobs(age=-1)}, r"completed\.age"),
    ],
)
def test_a_rule_that_is_none_is_refused(
    queue: Queue, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        queue.set_retention(**given)
    assert queue.retention() == USUAL


@pytest.mark.parametrize("given", [{"age": 0}, {"count": 0}, {"age": "1h"}])
def test_an_event_bound_that_is_none_is_refused(
    queue: Queue, given: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        queue.set_event_bounds(**given)


def test_jobs_that_finish_from_then_on_are_kept_by_the_rule(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    before, after = queue.add("before").id, queue.add("after").id
    worker.finish(worker.claim())
    queue.set_retention(completed=KeepJobs(age=60, count=3))
    worker.finish(worker.claim())
    rows = sql.all(
        "SELECT job_id, extract(epoch FROM expires_at - finished_at)::int AS age,"
        " keep_count FROM pgqueue.finished ORDER BY job_id"
    )
    assert [tuple(row) for row in rows] == [(before, 604_800, None), (after, 60, 3)]


def test_a_count_trims_and_zero_keeps_nothing(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.set_retention(completed=2)
    for _ in range(5):
        queue.add("a")
    worker.finish(worker.claim(5))
    run(sql.connection, maintenance.trim(worker.queue_id), "pgqueue")
    assert queue.counts().completed == 2
    queue.set_retention(completed=0)
    queue.add("a")
    worker.finish(worker.claim())
    run(sql.connection, maintenance.trim(worker.queue_id), "pgqueue")
    assert queue.counts().completed == 0


def test_events_beyond_the_bounds_are_trimmed(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    sql.run("UPDATE pgqueue.queue SET events = true")
    for _ in range(20):
        queue.add("a")
    queue.set_event_bounds(count=5)
    op = events.trim_events(worker.queue_id, by_count=True)
    run(sql.connection, op, "pgqueue")
    assert sql.value("SELECT count(*) FROM pgqueue.event") == 5
    travel(hours=2, connection=sql.connection)
    queue.set_event_bounds(age=3600)
    op = events.trim_events(worker.queue_id, by_count=False)
    run(sql.connection, op, "pgqueue")
    assert sql.value("SELECT count(*) FROM pgqueue.event") == 0


def test_a_rule_is_a_part_of_the_callers_transaction(queue: Queue, shells: Any) -> None:
    given, connection = shells.connect()
    queue.set_retention(completed=1, connection=given)
    connection.rollback()
    assert queue.retention() == USUAL
