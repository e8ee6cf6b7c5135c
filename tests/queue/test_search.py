"""Jobs are found by name, state, tag and data."""

from __future__ import annotations

import time
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import ConfigError, Counts, FlowNode, StatementTimeout
from pgqueue.query import Query, parse

if TYPE_CHECKING:
    from claims import HandWorker
    from conftest import Sql
    from pgqueue import Queue
    from shells import Shells


def ids(queue: Queue, query: str, **options: Any) -> list[int]:
    return [job.id for job in queue.search(query, **options)]


def test_jobs_are_found_by_what_they_hold(queue: Queue, worker: HandWorker) -> None:
    failed = queue.add("welcome", {"user": {"id": 42}, "l": [1, "two words"]})
    worker.fail(worker.claim())
    other = queue.add("welcome", {"user": {"id": "42"}, "x": None}, tags=["a", "b"])
    third = queue.add("bye", [7], priority=2)
    assert ids(queue, "name:welcome") == [other.id, failed.id]
    assert ids(queue, "data.user.id:42") == [other.id, failed.id]
    assert ids(queue, "data.user.id:42 state:failed name:welcome") == [failed.id]
    assert ids(queue, 'data.l.1:"two words"') == [failed.id]
    assert ids(queue, "tag:a tag:b") == [other.id]
    assert ids(queue, "tag:a tag:c") == []
    assert ids(queue, "data.0:7") == [third.id]
    assert ids(queue, "data.x:null name:welcome") == [other.id, failed.id]
    assert ids(queue, "state:prioritized") == [third.id]
    assert ids(queue, "state:waiting") == [other.id]


def test_jobs_are_found_in_every_state(
    queue: Queue, worker: HandWorker, shells: Shells
) -> None:
    found: dict[str, int] = {}
    for state, end in (("completed", worker.finish), ("failed", worker.fail)):
        found[state] = queue.add("a").id
        end(worker.claim())
    found["active"] = queue.add("a").id
    worker.claim()
    found["waiting"] = queue.add("a").id
    found["prioritized"] = queue.add("a", priority=1).id
    found["delayed"] = queue.add("a", delay=60).id
    tree = FlowNode("a", queue="paint", children=[FlowNode("b", queue="other")])
    found["waiting_children"] = shells.flows().add(tree).job.id
    assert found.keys() == {field.name for field in fields(Counts)}
    for state, job_id in found.items():
        assert ids(queue, f"name:a state:{state}") == [job_id]


def test_jobs_are_found_by_their_group(queue: Queue) -> None:
    queue.add("a")
    queue.add("a", group="tenant-8")
    mine = queue.add("a", group="tenant-7")
    assert ids(queue, "group:tenant-7") == [mine.id]
    assert ids(queue, "group:tenant-7 name:b") == []


def test_pages_go_on_where_they_ended(queue: Queue) -> None:
    added = [queue.add("a", {"n": 1}).id for _ in range(5)]
    first = queue.search("data.n:1", 2)
    rest = queue.search("data.n:1", 10, first.cursor)
    assert [job.id for job in (*first, *rest)] == added[::-1]
    assert rest.cursor is None


def test_it_gives_up_in_time_and_restores_the_setting(
    shells: Shells, queue: Queue, sql: Sql
) -> None:
    sql.run("SELECT pgqueue.queue_id('paint')")
    sql.run(
        "INSERT INTO pgqueue.job (id, created_at, queue_id, priority, attempts, name,"
        " data) SELECT g, now(), 1, 0, 1, 'a', '{}' FROM generate_series(1, 20000) g"
    )
    began = time.monotonic()
    with pytest.raises(StatementTimeout):
        queue.search("data.n:1", timeout=0.001)
    assert time.monotonic() - began < 5
    given, blocking = shells.connect()
    queue.search("name:b", connection=given)
    cursor = blocking.execute("SELECT current_setting('statement_timeout')")
    row = shells.run(cursor.fetchone())
    assert row == ("0",)


@pytest.mark.parametrize(
    "wrong",
    [
        *("", " ", "welcome", "name:", "data:1", "data..x:1", "state:paused", "a:b"),
        *("name:a name:b", 'name:"a', "name:a\0", 5, "x" * 10_001),
    ],
)
def test_what_cannot_be_read_is_refused(queue: Queue, wrong: Any) -> None:
    with pytest.raises(ConfigError):
        queue.search(wrong)


def test_quotes_and_escapes() -> None:
    assert parse(r'name:"a \"b\" \\"  data.k:"null"') == Query(
        name='a "b" \\', data=(('{"k"}', "null"),)
    )
    assert parse("data.a.b:null").data == (('{"a","b"}', None),)


def test_long_nonsense_is_read_in_linear_time() -> None:
    began = time.thread_time()
    for text in ('name:"' + "\\" * 9000, "data." + "." * 9000, "a" * 9990):
        with pytest.raises(ConfigError):
            parse(text)
    assert time.thread_time() - began < 1
