"""Every accepted kind of connection: the caller's transaction stays the caller's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from connections import KINDS, Kind
from invariants import assert_consistent
from pgqueue import FlowNode, NewJob, PayloadError
from pgqueue import sql as statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Sql

OTHERS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND backend_type = 'client backend'"""


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest, dsn: str) -> Iterator[Kind]:
    made = request.param(dsn)
    yield made
    made.close()


def test_a_commit_shows_the_job_and_not_before(kind: Kind, sql: Sql) -> None:
    queue = kind.queue()
    kind.begin()
    job = queue.add("n", {"a": [1, "ü'\\%s", None]}, connection=kind.given)
    assert queue.get(job.id, connection=kind.given) == job
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0
    kind.commit()
    assert queue.get(job.id).data == {"a": [1, "ü'\\%s", None]}
    queue.close()
    assert_consistent(sql)


def test_a_rollback_removes_it(kind: Kind, sql: Sql) -> None:
    kind.begin()
    kind.queue().add("n", connection=kind.given)
    kind.rollback()
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0


def test_a_rolled_back_savepoint_removes_only_its_own(kind: Kind, sql: Sql) -> None:
    queue = kind.queue()
    kind.begin()
    queue.add("kept", connection=kind.given)

    def act() -> None:
        queue.add("gone", connection=kind.given)
        queue.add_bulk((NewJob("gone") for _ in range(3)), connection=kind.given)

    kind.undo(act)
    queue.add("last", connection=kind.given)
    kind.commit()
    names = sql.all("SELECT name FROM pgqueue.job ORDER BY id")
    assert [row.name for row in names] == ["kept", "last"]


def test_a_stream_that_turns_out_bad_takes_back_only_its_own(
    kind: Kind, sql: Sql
) -> None:
    def stream() -> Iterator[NewJob]:
        yield from (NewJob("gone") for _ in range(2000))
        yield NewJob("bad", float("nan"))

    queue = kind.queue()
    kind.begin()
    queue.add("kept", connection=kind.given)
    with pytest.raises(PayloadError):
        queue.add_bulk(stream(), connection=kind.given)
    kind.commit()
    assert [row.name for row in sql.all("SELECT name FROM pgqueue.job")] == ["kept"]


def test_nothing_is_committed_or_closed_and_no_other_connection_is_opened(
    kind: Kind, sql: Sql
) -> None:
    queue = kind.queue()
    kind.begin()
    kind.execute("CREATE TEMPORARY TABLE mine (id int) ON COMMIT DROP")
    before = sql.value(OTHERS)
    queue.add("n", connection=kind.given)
    queue.add_bulk([NewJob("n")] * 3, connection=kind.given)
    kind.flows().add(FlowNode("f", queue="paint"), connection=kind.given)
    queue.upsert_schedule("s", every=60, name="n", connection=kind.given)
    # One that a test before this one had may still be going.
    assert sql.value(OTHERS) <= before
    kind.execute("INSERT INTO mine VALUES (1)")
    kind.rollback()
    kind.begin()
    kind.execute("SELECT 1")
    kind.rollback()
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0


def test_a_large_bulk_goes_through(kind: Kind, sql: Sql) -> None:
    jobs = [NewJob("n", {"n": n, "text": "x" * 500}) for n in range(5000)]
    kind.begin()
    made = kind.queue().add_bulk(jobs, connection=kind.given)
    assert len({job.id for job in made}) == 5000
    kind.commit()
    assert sql.value("SELECT count(*) FROM pgqueue.ready") == 5000


def test_sleepers_are_woken_at_the_commit_and_not_before(
    kind: Kind, dsn: str, sql: Sql
) -> None:
    queue = kind.queue()
    queue.pause()
    queue.resume()
    with psycopg.connect(dsn, autocommit=True) as sleeper:
        sleeper.execute('LISTEN "pgqueue.doorbell"')
        queue_id = sql.value("SELECT id FROM pgqueue.queue")
        sleeper.execute(statements.load("arm_doorbell"), {"queue_id": queue_id})
        kind.begin()
        queue.add("n", connection=kind.given)
        queue.add("n", connection=kind.given)
        assert list(sleeper.notifies(timeout=0.05)) == []
        kind.commit()
        [notice] = sleeper.notifies(timeout=20, stop_after=1)
        assert notice.payload == str(queue_id)
        assert list(sleeper.notifies(timeout=0.05)) == [], "once a transaction"
    queue.close()
