"""Every method of a queue, sync and async, by itself and in a caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from psycopg.pq import TransactionStatus

from invariants import assert_consistent
from pgqueue import NewJob, Queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from claims import HandWorker
    from conftest import Sql
    from shells import Shells

WITHOUT_CONNECTION = {"close", "job"}
TABLES = """
    SELECT relname FROM pg_class WHERE relnamespace = 'pgqueue'::regnamespace
    AND relkind = 'r' AND relname <> 'alembic_version'
"""


class Ids(NamedTuple):
    """A job of each kind."""

    failed: int
    completed: int
    waiting: int
    delayed: int


READING: dict[str, Callable[[Queue, Ids, dict[str, Any]], Any]] = {
    "attempts": lambda queue, ids, on: queue.attempts(ids.failed, **on)[0].error,
    "count": lambda queue, _, on: queue.count(**on),
    "counts": lambda queue, _, on: queue.counts("failed", **on).failed,
    "counts_per_priority": lambda queue, _, on: queue.counts_per_priority([3], **on),
    "get": lambda queue, ids, on: queue.get(ids.failed, **on).error,
    "get_schedule": lambda queue, _, on: queue.get_schedule("s", **on).key,
    "group": lambda queue, _, on: queue.group("g", **on).waiting,
    "group_counts": lambda queue, _, on: queue.group_counts(**on).waiting,
    "groups": lambda queue, _, on: [one.name for one in queue.groups(**on)],
    "is_paused": lambda queue, _, on: queue.is_paused(**on),
    "jobs": lambda queue, _, on: len(queue.jobs(**on)),
    "limits": lambda queue, _, on: queue.limits(**on).concurrency,
    "logs": lambda queue, ids, on: [one.line for one in queue.logs(ids.waiting, **on)],
    "metrics": lambda queue, _, on: queue.metrics(**on),
    "result": lambda queue, ids, on: queue.result(ids.completed, timeout=0, **on),
    "retention": lambda queue, _, on: queue.retention(**on).completed.count,
    "schedules": lambda queue, _, on: [one.key for one in queue.schedules(**on)],
    "search": lambda queue, _, on: len(queue.search("name:failed", **on)),
    "workers": lambda queue, _, on: [one.active for one in queue.workers(**on)],
}
READ = {
    "attempts": "it broke",
    "get": "it broke",
    "counts": 1,
    "count": 4,
    "search": 1,
    "counts_per_priority": {3: 1},
    "get_schedule": "s",
    "group": 1,
    "groups": ["g"],
    "group_counts": 1,
    "is_paused": False,
    "jobs": 6,
    "limits": 50,
    "logs": ["l"],
    "metrics": [],
    "result": 7,
    "retention": 9,
    "schedules": ["s"],
    "workers": [0],
}
CHANGING: dict[str, Callable[[Queue, Ids, dict[str, Any]], Any]] = {
    "add": lambda queue, _, on: queue.add("n", **on),
    "add_bulk": lambda queue, _, on: queue.add_bulk([NewJob("n")] * 2, **on),
    "cancel": lambda queue, ids, on: queue.cancel(ids.waiting, **on),
    "change_delay": lambda queue, ids, on: queue.change_delay(ids.delayed, 5, **on),
    "change_priority": lambda queue, ids, on: queue.change_priority(
        ids.waiting, 5, **on
    ),
    "clean": lambda queue, _, on: queue.clean(0, state="failed", **on),
    "drain": lambda queue, _, on: queue.drain(**on),
    "log": lambda queue, ids, on: queue.log(ids.failed, "more", **on),
    "obliterate": lambda queue, _, on: queue.obliterate(**on),
    "pause": lambda queue, _, on: queue.pause(**on),
    "pause_group": lambda queue, _, on: queue.pause_group("g", **on),
    "pause_schedule": lambda queue, _, on: queue.pause_schedule("s", **on),
    "promote": lambda queue, ids, on: queue.promote(ids.delayed, **on),
    "promote_all": lambda queue, _, on: queue.promote_all(**on),
    "rate_limit": lambda queue, _, on: queue.rate_limit(60, **on),
    "remove": lambda queue, ids, on: queue.remove(ids.waiting, **on),
    "remove_schedule": lambda queue, _, on: queue.remove_schedule("s", **on),
    "resume": lambda queue, _, on: queue.resume(**on),
    "resume_group": lambda queue, _, on: queue.resume_group("g", **on),
    "resume_schedule": lambda queue, _, on: queue.resume_schedule("s", **on),
    "retry": lambda queue, ids, on: queue.retry(ids.failed, **on),
    "retry_all": lambda queue, _, on: queue.retry_all(**on),
    "set_concurrency": lambda queue, _, on: queue.set_concurrency(2, **on),
    "set_event_bounds": lambda queue, _, on: queue.set_event_bounds(count=5, **on),
    "set_group_concurrency": lambda queue, _, on: queue.set_group_concurrency(
        "g", 2, **on
    ),
    "set_group_rate_limit": lambda queue, _, on: queue.set_group_rate_limit(
        None, 2, 60, **on
    ),
    "set_rate_limit": lambda queue, _, on: queue.set_rate_limit(2, **on),
    "set_retention": lambda queue, _, on: queue.set_retention(failed=5, **on),
    "update_data": lambda queue, ids, on: queue.update_data(ids.waiting, 5, **on),
    "upsert_schedule": lambda queue, _, on: queue.upsert_schedule("t", every=60, **on),
}
BEFORE: dict[str, Callable[[Queue], Any]] = {
    "resume": lambda queue: queue.pause(),
    "resume_group": lambda queue: queue.pause_group("g"),
    "resume_schedule": lambda queue: queue.pause_schedule("s"),
}


@pytest.fixture
def ids(queue: Queue, worker: HandWorker) -> Ids:
    failed = queue.add("failed")
    worker.fail(worker.claim())
    completed = queue.add("completed")
    worker.finish(worker.claim(), result=7)
    waiting, delayed = queue.add("n", priority=3), queue.add("n", delay=3600)
    queue.add("n", group="g")
    queue.upsert_schedule("s", every=3600)
    queue.log(waiting.id, "l")
    queue.set_concurrency(50)
    queue.set_retention(completed=9)
    return Ids(failed.id, completed.id, waiting.id, delayed.id)


def rows(sql: Sql) -> dict[str, list[str]]:
    """Return all that is stored."""
    return {
        table: sorted(
            text for (text,) in sql.all(f"SELECT t::text FROM pgqueue.{table} t")
        )
        for (table,) in sql.all(TABLES)
    }


def test_no_method_is_left_out() -> None:
    public = {name for name in dir(Queue) if not name.startswith("_")}
    called = {name for name in public if callable(getattr(Queue, name))}
    assert called - WITHOUT_CONNECTION == READING.keys() | CHANGING.keys()
    assert READING.keys() == READ.keys()


@pytest.mark.parametrize("name", READING)
def test_a_question_has_its_answer(
    queue: Queue, shells: Shells, ids: Ids, sql: Sql, name: str
) -> None:
    given, connection = shells.connect()
    before = rows(sql)
    assert READING[name](queue, ids, {}) == READ[name]
    assert READING[name](queue, ids, {"connection": given}) == READ[name]
    assert given.info.transaction_status == TransactionStatus.INTRANS
    connection.rollback()
    assert rows(sql) == before


@pytest.mark.parametrize("name", CHANGING)
def test_a_change_is_the_callers_to_commit(
    queue: Queue, shells: Shells, ids: Ids, sql: Sql, name: str
) -> None:
    BEFORE.get(name, lambda _: None)(queue)
    given, connection = shells.connect()
    before = rows(sql)
    for _ in range(2):
        CHANGING[name](queue, ids, {"connection": given})
        assert given.info.transaction_status == TransactionStatus.INTRANS
        assert rows(sql) == before
        connection.rollback()
    CHANGING[name](queue, ids, {})
    assert rows(sql) != before
    assert_consistent(sql)
