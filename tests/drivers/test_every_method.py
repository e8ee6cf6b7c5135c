"""Every read and write of a queue is a part of the caller's transaction, on every driver."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

from connections import KINDS, Alchemy, AlchemyAsync, Asyncpg, Django, Kind, on
from invariants import assert_consistent
from pgqueue import FlowNode, FlowProducer, JobFailed, KeepJobs, NewJob, Queue
from pgqueue.db import on_asyncpg

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Sql

NOWHERE = "host=127.0.0.1 port=1 dbname=nowhere connect_timeout=1"
STORED = """
    SELECT relname FROM pg_class WHERE relnamespace = 'pgqueue'::regnamespace
    AND relkind IN ('r', 'p') AND relname <> 'alembic_version'"""


UNCACHED = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
PREPARING: list[type[Kind]] = [
    *(on(Alchemy, "psycopg", prepare_threshold=n) for n in (None, 0)),
    *(on(AlchemyAsync, "psycopg", prepare_threshold=n) for n in (None, 0)),
    on(AlchemyAsync, "asyncpg", **UNCACHED),
    *(on(Django, "psycopg", prepare_threshold=n) for n in (None, 0)),
    on(Django, "psycopg", server_side_binding=True),
]
"""What drivers can be told about prepared statements, through what is around them."""


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest, dsn: str) -> Iterator[Kind]:
    made = request.param(dsn)
    yield made
    made.close()


class Noting:
    """A queue or flow producer that notes which of its methods got a connection."""

    def __init__(self, noted: Any, called: set[str]) -> None:
        self._noted = noted
        self._called = called

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._noted, name)

        def call(*args: Any, **given: Any) -> Any:
            if given.get("connection") is not None:
                self._called.add(name)
            return method(*args, **given)

        return call if callable(method) else method


def takes_one(cls: type) -> set[str]:
    """Return the names of the methods with a parameter `connection`."""
    return {
        name
        for name, member in inspect.getmembers(cls, inspect.isfunction)
        if "connection" in inspect.signature(member).parameters and name[0] != "_"
    }


def without_one(cls: type) -> set[str]:
    methods = inspect.getmembers(cls, inspect.isfunction)
    return {name for name, _ in methods if name[0] != "_"} - takes_one(cls)


def test_every_read_and_write_takes_one() -> None:
    assert without_one(Queue) == {"close", "job"}
    assert without_one(FlowProducer) == {"close"}


@pytest.mark.parametrize(
    "kind", [*KINDS, *PREPARING], ids=lambda kind: kind.__name__, indirect=True
)
def test_every_method_works_again_and_again(kind: Kind, sql: Sql) -> None:
    """More often than it takes a driver to prepare a statement."""
    of_queue, of_flows = set[str](), set[str]()
    queue, flows = Noting(kind.queue(), of_queue), Noting(kind.flows(), of_flows)
    kind.begin()
    for _ in range(7):
        call_every_method(queue, flows, kind.given)
    kind.commit()
    assert (of_queue, of_flows) == (takes_one(Queue), takes_one(FlowProducer))
    assert_consistent(sql)


def test_no_method_commits_and_none_needs_another_connection(
    kind: Kind, sql: Sql
) -> None:
    """Their own database cannot be reached: whoever connects to it fails."""
    kind.dsn = NOWHERE
    queue, flows = kind.queue(), kind.flows()
    kind.begin()
    kind.execute("CREATE TEMPORARY TABLE mine (id int) ON COMMIT DROP")
    call_every_method(queue, flows, kind.given)
    queue.upsert_schedule("s", every=60, name="n", connection=kind.given)
    kind.execute("INSERT INTO mine VALUES (1)")
    kind.rollback()
    tables = [name for (name,) in sql.all(STORED)]
    assert "queue" in tables
    left = {
        name for name in tables if sql.value(f"SELECT count(*) FROM pgqueue.{name}")
    }
    assert not left


def test_a_savepoint_takes_back_what_every_method_did(kind: Kind, sql: Sql) -> None:
    queue, other = kind.queue(), kind.queue("other")
    kind.begin()
    kept = queue.add("kept", connection=kind.given)
    kind.undo(lambda: call_every_method(other, kind.flows(), kind.given))
    kind.commit()
    assert [job.id for job in queue.jobs()] == [kept.id]
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 1
    assert_consistent(sql)
    queue.close()


def test_parts_of_a_second_are_kept(kind: Kind, sql: Sql) -> None:
    """A driver must not take a duration for a whole number."""
    queue = kind.queue()
    kind.begin()
    queue.add("later", delay=0.75, connection=kind.given)
    queue.rate_limit(0.75, connection=kind.given)
    kind.commit()
    queue.close()
    assert sql.value("SELECT limited_until IS NOT NULL FROM pgqueue.queue")
    waits = "SELECT extract(epoch FROM run_at - created_at)::float FROM pgqueue.jobs"
    assert sql.value(waits) == pytest.approx(0.75, abs=0.01)


def test_no_duration_goes_where_the_server_wants_a_whole_number(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asyncpg would cut it off without a word."""
    kind, cut, fetch = Asyncpg(dsn), set[str](), on_asyncpg.fetch

    async def checked(given: Any, name: str, text: str, values: list[Any]) -> list[Any]:
        kinds = (await given.prepare(text)).get_parameters()
        for kind, value in zip(kinds, values, strict=True):
            if isinstance(value, float) and kind.name.startswith("int"):
                cut.add(name)
        return await fetch(given, name, text, values)

    monkeypatch.setattr(on_asyncpg, "fetch", checked)
    queue = kind.queue()
    kind.begin()
    call_every_method(queue, kind.flows(), kind.given)
    for state in ("waiting", "delayed", "completed"):
        queue.clean(0.5, state=state, connection=kind.given)
    keep = KeepJobs(age=0.5)
    queue.set_retention(completed=keep, failed=keep, connection=kind.given)
    queue.set_event_bounds(age=0.5, connection=kind.given)
    queue.set_rate_limit(3, per=0.5, connection=kind.given)
    queue.set_group_rate_limit(None, 3, per=0.5, connection=kind.given)
    assert queue.retention(connection=kind.given).completed.age == 0.5
    kind.rollback()
    kind.close()
    assert not cut


def call_every_method(queue: Any, flows: Any, given: Any) -> None:
    job = queue.add("n", {"a": 1}, tags=["t"], key="k", connection=given)
    [bulk] = queue.add_bulk([NewJob("n", delay=60)], connection=given)
    assert queue.add("n", key="k", connection=given).id == job.id
    assert queue.count(connection=given) == 2
    assert queue.counts(connection=given).delayed == 1
    assert queue.counts_per_priority([0, 1], connection=given)[0] == 1
    assert queue.get(bulk.id, connection=given).run_at == bulk.run_at
    assert len(queue.jobs(connection=given)) == 2
    assert [one.id for one in queue.search("tag:t", connection=given)] == [job.id]
    with pytest.raises(TimeoutError):
        queue.result(job.id, timeout=0, connection=given)
    change_jobs(queue, given, job.id, bulk.id)
    limit_and_keep(queue, given)
    use_groups(queue, given)
    schedule(queue, given)
    flow = add_flows(queue.name, flows, given)
    queue.pause(connection=given)
    assert queue.is_paused(connection=given)
    queue.resume(connection=given)
    assert queue.remove(flow, children=True, connection=given)
    queue.drain(connection=given)
    queue.clean(0, state="failed", connection=given)
    queue.obliterate(force=True, connection=given)
    assert queue.counts(connection=given).total == 0


def change_jobs(queue: Any, given: Any, job: int, delayed: int) -> None:
    queue.update_data(job, {"b": 2}, connection=given)
    queue.change_priority(job, priority=3, connection=given)
    queue.change_delay(delayed, 30, connection=given)
    queue.promote(delayed, connection=given)
    queue.log(job, "a line", connection=given)
    assert queue.logs(job, connection=given)
    assert queue.attempts(job, connection=given) == []
    assert queue.cancel(job, connection=given).state == "failed"
    with pytest.raises(JobFailed):
        queue.result(job, timeout=0, connection=given)
    assert queue.retry(job, connection=given).state == "waiting"
    queue.cancel(job, connection=given)
    assert queue.retry_all(connection=given) == 1
    queue.add("n", delay=60, connection=given)
    assert queue.promote_all(connection=given) == 1
    assert queue.workers(connection=given) == []
    queue.metrics(connection=given)


def limit_and_keep(queue: Any, given: Any) -> None:
    queue.set_concurrency(4, connection=given)
    queue.set_rate_limit(10, per=1.0, connection=given)
    queue.rate_limit(60, connection=given)
    assert queue.limits(connection=given).concurrency == 4
    queue.set_retention(completed=7, connection=given)
    queue.set_event_bounds(count=9, connection=given)
    assert queue.retention(connection=given).completed.count == 7


def use_groups(queue: Any, given: Any) -> None:
    queue.add("n", group="a", connection=given)
    queue.set_group_concurrency("a", 2, connection=given)
    queue.set_group_rate_limit("a", 5, per=60, connection=given)
    assert queue.pause_group("a", connection=given)
    assert queue.group("a", connection=given).state == "paused"
    assert [one.name for one in queue.groups(connection=given)] == ["a"]
    assert queue.group_counts(connection=given).paused == 1
    assert queue.resume_group("a", connection=given)


def schedule(queue: Any, given: Any) -> None:
    queue.upsert_schedule("s", cron="0 0 1 1 *", name="n", connection=given)
    assert queue.get_schedule("s", connection=given).next_at
    assert len(queue.schedules(connection=given)) == 1
    assert queue.pause_schedule("s", connection=given).paused
    assert not queue.resume_schedule("s", connection=given).paused
    assert queue.remove_schedule("s", connection=given)


def add_flows(name: str, flows: Any, given: Any) -> int:
    child = FlowNode("c", queue="others")
    added = flows.add(FlowNode("f", queue=name, children=[child]), connection=given)
    job: int = added.job.id
    assert flows.get(name, job, connection=given).children
    assert len(flows.add_bulk([child, child], connection=given)) == 2
    return job
