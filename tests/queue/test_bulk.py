"""`add_bulk`: any number, in order, all or nothing."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest

from invariants import assert_consistent
from pgqueue import ConfigError, NewJob, PayloadError, Queue
from shells import Shells

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claims import HandWorker
    from conftest import PrivateServer, Sql

KINDS = {"a list": list, "a generator": iter, "a tuple": tuple}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def numbered(many: int, bad: int | None = None) -> Iterator[NewJob]:
    for n in range(many):
        yield NewJob("n", {"n": float("nan") if n == bad else n})


@each_kind
def test_ten_thousand_jobs_are_added_in_order_in_one_transaction(
    queue: Queue, worker: HandWorker, sql: Sql, kind: Any
) -> None:
    jobs = queue.add_bulk(kind(numbered(10_000)))
    assert [job.data["n"] for job in jobs] == list(range(10_000))
    assert sql.value("SELECT count(DISTINCT xmin::text) FROM pgqueue.job") == 1
    claimed = worker.claim(10_000)
    assert [job.id for job in claimed] == [job.id for job in jobs]
    assert queue.get(jobs[9876].id).data == {"n": 9876}
    assert_consistent(sql)


@each_kind
@pytest.mark.parametrize("count_only", [True, False])
def test_a_bad_job_near_the_end_adds_nothing(
    queue: Queue, sql: Sql, kind: Any, count_only: bool
) -> None:
    with pytest.raises(PayloadError, match="data of job 'n'"):
        queue.add_bulk(kind(numbered(10_000, bad=9_999)), count_only=count_only)
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0
    assert queue.count() == 0


@each_kind
@pytest.mark.parametrize("autocommit", [True, False])
def test_a_bad_job_leaves_a_callers_transaction_as_it_was(
    queue: Queue, shells: Shells, sql: Sql, kind: Any, autocommit: bool
) -> None:
    given, connection = shells.connect(autocommit=autocommit)
    before = queue.add("before", connection=given)
    with pytest.raises(PayloadError):
        queue.add_bulk(kind(numbered(10_000, bad=9_999)), connection=given)
    after = queue.add("after", connection=given)
    connection.commit()
    assert [job.id for job in queue.jobs()] == [before.id, after.id]
    assert_consistent(sql)


@each_kind
def test_a_bulk_that_begins_a_callers_transaction_does_not_commit_it(
    queue: Queue, shells: Shells, kind: Any
) -> None:
    given, connection = shells.connect()
    assert len(queue.add_bulk(kind(numbered(5_000)), connection=given)) == 5_000
    assert queue.count() == 0
    assert queue.count(connection=given) == 5_000
    connection.rollback()
    assert queue.count() == 0
    queue.add_bulk(kind(numbered(3)), connection=given)
    connection.commit()
    assert queue.count() == 3


def test_an_error_of_the_generator_itself_passes_and_nothing_is_added(
    queue: Queue,
) -> None:
    def failing() -> Iterator[NewJob]:
        yield from numbered(5_000)
        raise LookupError("no more rows")

    with pytest.raises(LookupError, match="no more rows"):
        queue.add_bulk(failing())
    assert queue.count() == 0


@each_kind
def test_without_atomic_what_was_sent_before_a_failure_stays(
    queue: Queue, sql: Sql, kind: Any
) -> None:
    jobs = kind(numbered(5_000, bad=4_999))
    with pytest.raises(PayloadError):
        queue.add_bulk(jobs, atomic=False)
    added = queue.count()
    assert added == (4_000 if kind is iter else 0), "a list is checked before"
    assert_consistent(sql)


@each_kind
@pytest.mark.parametrize("atomic", [True, False])
def test_an_empty_bulk_adds_nothing(queue: Queue, kind: Any, atomic: bool) -> None:
    assert queue.add_bulk(kind([]), atomic=atomic) == []
    assert queue.add_bulk(kind([]), atomic=atomic, count_only=True) == 0


def test_every_option_of_a_new_job_arrives(queue: Queue) -> None:
    [job] = queue.add_bulk(
        [NewJob("n", [1], delay=60, priority=3, attempts=4, backoff=2, key="k")]
    )
    assert queue.get(job.id) == job
    assert (job.priority, job.attempts, job.key) == (3, 4, "k")


def test_a_bad_option_in_a_bulk_is_named(queue: Queue) -> None:
    with pytest.raises(ConfigError, match="attempts=0"):
        queue.add_bulk([NewJob("n"), NewJob("n", attempts=0)])
    assert queue.count() == 0


def test_large_jobs_are_sent_in_pieces_and_stay_one_transaction(
    queue: Queue, sql: Sql
) -> None:
    jobs = queue.add_bulk([NewJob("n", "x" * 1_000_000) for _ in range(12)])
    assert len(jobs) == 12
    assert sql.value("SELECT count(DISTINCT xmin::text) FROM pgqueue.job") == 1


def test_a_generator_may_use_the_queue_itself(queue: Queue, dsn: str) -> None:
    with Queue("source", dsn=dsn) as source:
        source.add("n", 1)

        def copies() -> Iterator[NewJob]:
            for job in source.jobs():
                yield NewJob(job.name, job.data)

        assert queue.add_bulk(copies(), count_only=True) == 1


def test_jobs_from_a_generator_take_little_memory(dsn: str) -> None:
    with Queue("paint", dsn=dsn) as queue:
        queue.add("warm up")
        tracemalloc.start()
        try:
            warm = (NewJob("n", {"n": n}) for n in range(4_000))
            queue.add_bulk(warm, count_only=True)
            tracemalloc.reset_peak()
            queue.add_bulk((NewJob("n") for _ in range(40_000)), count_only=True)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 8 * 1024 * 1024


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    # The same code for both; a million of each would take minutes.
    ("asynchronous", "many"),
    [(False, 1_000_000), (True, 150_000)],
    ids=["Queue", "AsyncQueue"],
)
def test_a_million_jobs_are_one_transaction_in_memory_that_does_not_grow(
    private_server: PrivateServer, asynchronous: bool, many: int
) -> None:
    """On a server of its own: workers elsewhere on it poll while it goes on."""
    held = []
    process = psutil.Process()
    shells = Shells(private_server.dsn, asynchronous=asynchronous)
    queue = shells.queue()
    with psycopg.connect(private_server.dsn, autocommit=True) as eyes:

        def look(query: str) -> Any:
            return eyes.execute(query).fetchone()

        def jobs() -> Iterator[NewJob]:
            for n in range(many):
                if n in {50_000, many - 1}:
                    held.append(process.memory_info().rss)
                yield NewJob("n", {"n": n})
            assert look("SELECT count(*) FROM pgqueue.job") == (0,), "not committed yet"

        assert queue.add_bulk(jobs(), count_only=True) == many
        early, late = held
        # No object of Python's is as small as this is by the job.
        assert late - early < 10 * 1024 * 1024
        found = look("SELECT count(*), max(id) - min(id) FROM pgqueue.job")
        assert found == (many, many - 1)
        assert queue.count() == many
    shells.close()
