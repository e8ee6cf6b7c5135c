"""What BullMQ's PostgreSQL backend asks of its server, and forgets to tell."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import make_conninfo

import pgqueue
from claims import HandWorker
from following import nothing_holds_back
from pgqueue import FlowNode, NewJob, Queue, QueueEvents, Worker
from waiting import until_async

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Sql

DOCUMENT = Path(__file__).parents[2] / "docs/deploying.md"
INDEXED = """
    SELECT DISTINCT c.relname || '.' || a.attname FROM pg_index i
    JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_attribute a ON a.attrelid = c.oid AND (a.attnum = ANY(i.indkey)
        OR pg_get_expr(i.indpred, c.oid) ~ ('\\m' || a.attname || '\\M')
        OR pg_get_expr(i.indexprs, c.oid) ~ ('\\m' || a.attname || '\\M'))
    WHERE c.relnamespace = 'pgqueue'::regnamespace AND c.relname IN ('worker', 'lease')
"""


def grants() -> str:
    """Return what the documentation says that a role needs."""
    [found] = re.findall(
        r"```sql\n(GRANT .*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL
    )
    return str(found)


@contextmanager
def role_that_creates_nothing(dsn: str, sql: Sql) -> Iterator[str]:
    """Give a DSN of a role that may use what is there, and make nothing."""
    database = sql.value("SELECT current_database()")
    role = f"clerk_of_{database}"
    sql.run(f"CREATE ROLE {role}")
    try:
        sql.run(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
        sql.run(f"GRANT CONNECT ON DATABASE {database} TO {role}")
        sql.run(grants().replace("TO app;", f"TO {role};"))
        yield make_conninfo(dsn, options=f"-c role={role}")
    finally:
        sql.run(f"GRANT CONNECT, TEMPORARY ON DATABASE {database} TO PUBLIC")
        sql.run(f"DROP OWNED BY {role}")
        sql.run(f"DROP ROLE {role}")


async def test_a_role_that_may_create_nothing_adds_runs_and_obliterates(
    dsn: str, sql: Sql
) -> None:
    async def handler(job: Any) -> None:
        if job.name == "bad":
            raise ValueError

    with (
        role_that_creates_nothing(dsn, sql) as clerk,
        Queue("paint", dsn=clerk) as queue,
        QueueEvents("paint", "one", dsn=clerk) as events,
    ):
        events.subscribe()
        queue.add("a", priority=1)
        queue.add_bulk([NewJob("bad")] * 50)
        queue.upsert_schedule("s", every=3600)
        queue.set_concurrency(200)
        async with Worker("paint", handler, lease=1.5, dsn=clerk):
            await until_async(lambda: queue.counts().failed == 50)
            assert queue.retry_all() == 50
            await until_async(lambda: queue.counts().failed == 50)
        queue.drain()
        queue.clean(0, state="failed")
        queue.obliterate(force=True)
        assert queue.counts().total == 0


def test_workers_of_queues_with_long_names_are_listed(dsn: str) -> None:
    """A connection's name ends after 63 bytes; a row has no such end."""
    name = "a queue with a long name " * 8
    worker = HandWorker(dsn, name)
    with Queue(name, dsn=dsn) as queue:
        [info] = queue.workers()
    assert (info.id, info.queues) == (worker.id, (name,))
    worker.close()


def test_what_changes_while_jobs_run_is_in_no_index(sql: Sql) -> None:
    """A renewal, and a finish of a part of a batch, write no index."""
    indexed = {name for (name,) in sql.all(INDEXED)}
    assert "lease.queue_id" in indexed
    changing = {"worker.heartbeat_at", "lease.job_ids", "lease.attempts"}
    assert not indexed & changing


async def test_a_run_that_waits_for_children_is_told(dsn: str) -> None:
    async def handler(job: Any) -> None:
        if job.name == "parent" and not await job.children_values():
            await job.add_child(FlowNode("child", queue="paint"))
            await job.wait_children()

    with (
        Queue("paint", dsn=dsn) as queue,
        QueueEvents("paint", "one", dsn=dsn) as events,
    ):
        events.subscribe()
        job = queue.add("parent")
        async with Worker("paint", handler, dsn=dsn):
            await until_async(lambda: queue.get(job.id).state == "completed")
        nothing_holds_back(dsn)
        told = [one.name for one in events.follow(timeout=0.2) if one.job_id == job.id]
    assert told == [
        *("added", "waiting", "active"),
        *("waiting_children", "waiting", "active", "completed"),
    ]


def test_no_instant_is_taken_from_the_client() -> None:
    """Only the checks of a rule, and the names of BullMQ's API, look at its clock."""
    package = Path(pgqueue.__file__).parent
    looking = re.compile(r"time\.time\(|datetime\.now\(|utcnow\(")
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if looking.search(path.read_text("utf-8"))
    }
    assert found == {"cron.py", "compat/bullmq/scheduling.py"}
