"""Workers that die around a commit: the writes are there once, or the job runs again."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import waiting
from effects import write
from patience import drain, until, until_async
from pgqueue import NewJob, Queue, Worker
from pgqueue.types import JobState
from processes import Process
from proxy import Proxy
from working import KINDS, Heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Sql
    from effects import Effects

kinds = pytest.mark.parametrize("kind", KINDS)

TRANSFERS = Path(__file__).parents[1] / "transfers.py"
LOCK = 4711
HEARD = ("completed", "failed", "error", "lease_lost", "stalled")


def worker_process(dsn: str, kind: str, **options: Any) -> Process:
    return Process(dsn, kind=kind, script=TRANSFERS, lease=4, **options)


also_on_theirs = pytest.mark.parametrize(
    "kind", [*KINDS, "AlchemySession", "Django", "Psycopg2"]
)
"""On a connection of the worker's, and on one of the handler's own."""


@also_on_theirs
def test_a_worker_killed_between_the_writes_and_the_commit_leaves_neither(
    dsn: str, queue: Queue, effects: Effects, tmp_path: Path, kind: str
) -> None:
    go = tmp_path / "go"
    job = queue.add("n", {"inside": str(go)})
    with worker_process(dsn, kind) as first:
        first.until("inside")
        first.kill()
    assert not effects.counts()
    assert queue.get(job.id).state == JobState.ACTIVE
    go.touch()
    with worker_process(dsn, kind) as second:
        second.until("completed", timeout=60)
    found = queue.get(job.id)
    assert (found.state, found.attempt, found.stalled) == ("completed", 1, 1)
    assert found.result == {"by": job.id}
    assert effects.counts() == {job.id: 1}


@also_on_theirs
def test_a_worker_killed_behind_the_commit_has_completed_the_job(
    dsn: str, queue: Queue, effects: Effects, tmp_path: Path, kind: str
) -> None:
    job = queue.add("n", {"behind": str(tmp_path / "never")})
    with worker_process(dsn, kind) as first:
        first.until("behind")
        first.kill()
    assert queue.get(job.id).state == JobState.COMPLETED
    last = queue.add("n")
    with worker_process(dsn, kind, drain=True) as second:
        assert second.wait(60) == 0
    assert [one["id"] for one in second.said("run")] == [last.id]
    assert effects.counts() == {job.id: 1, last.id: 1}
    assert queue.get(job.id).result == {"by": job.id}


def hold_commits(sql: Sql) -> None:
    """Let every commit of an effect wait for an advisory lock."""
    sql.run(
        "CREATE OR REPLACE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN NULL; END $$"
    )
    sql.run(
        "CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON public.effect"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.wait()"
    )


COMMITTING = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    f" AND objid = {LOCK} AND mode = 'ShareLock'"
)


@kinds
@pytest.mark.parametrize("ends", ["commits", "is terminated"])
def test_a_worker_killed_in_the_commit_leaves_both_or_neither(  # noqa: PLR0917
    dsn: str, queue: Queue, sql: Sql, effects: Effects, kind: str, ends: str
) -> None:
    hold_commits(sql)
    job = queue.add("n")
    with psycopg.connect(dsn, autocommit=True) as holder:
        holder.execute(f"SELECT pg_advisory_lock({LOCK})")
        with worker_process(dsn, kind) as first:
            first.until("inside")
            [(pid,)] = until(lambda: sql.all(COMMITTING))
            first.kill()
        assert not effects.counts()
        if ends == "is terminated":
            sql.run("SELECT pg_terminate_backend(%s, 5000)", [pid])
    committed = ends == "commits"
    with worker_process(dsn, kind) as second:
        until(lambda: queue.get(job.id).state == JobState.COMPLETED)
        until(lambda: queue.counts().active == 0)
    assert len(second.said("run")) + committed <= 1
    assert effects.counts() == {job.id: 1}
    assert queue.get(job.id).stalled == (0 if committed else 1)


@pytest.fixture
async def proxy(dsn: str) -> AsyncIterator[Proxy]:
    async with Proxy(dsn) as proxy:
        yield proxy


@kinds
@pytest.mark.parametrize("caught", [False, True], ids=["raised", "caught"])
async def test_a_commit_whose_answer_is_lost_is_a_completion(
    queue: Queue, proxy: Proxy, effects: Effects, kind: str, caught: bool
) -> None:
    """The handler cannot know; that the lease lists the job no more, tells."""
    proxy.eat = lambda asked, _: b"COMMIT" in asked and not proxy.eaten

    def handler(job: Any) -> None:
        try:
            with job.transaction() as connection:
                connection.execute(write(job.id))
        except psycopg.OperationalError:
            if not caught:
                raise

    async def on_the_loop(job: Any) -> None:
        try:
            async with job.transaction() as connection:
                await connection.execute(write(job.id))
        except psycopg.OperationalError:
            if not caught:
                raise

    worker = Worker(
        "work", handler if kind == "def" else on_the_loop, dsn=proxy.dsn, lease=30
    )
    heard = Heard(worker, *HEARD)
    async with worker:
        job = queue.add("n", attempts=3)
        await until_async(lambda: heard.events)
    assert proxy.eaten == 1
    assert heard.names() == ["completed"]
    assert queue.get(job.id).state == JobState.COMPLETED
    assert effects.counts() == {job.id: 1}


@kinds
@pytest.mark.parametrize("caught", [False, True], ids=["raised", "caught"])
async def test_a_commit_that_never_arrived_fails_the_attempt(  # noqa: PLR0917
    dsn: str, queue: Queue, sql: Sql, effects: Effects, kind: str, caught: bool
) -> None:
    """Also if the handler goes on as if nothing had happened: its writes are not there."""
    hold_commits(sql)
    holder = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
    await holder.execute(f"SELECT pg_advisory_lock({LOCK})")

    def handler(job: Any) -> str:
        try:
            with job.transaction() as connection:
                connection.execute(write(job.id))
        except psycopg.OperationalError:
            if not caught:
                raise
        return "as if"

    async def on_the_loop(job: Any) -> str:
        try:
            async with job.transaction() as connection:
                await connection.execute(write(job.id))
        except psycopg.OperationalError:
            if not caught:
                raise
        return "as if"

    worker = Worker("work", handler if kind == "def" else on_the_loop, dsn=dsn)
    heard = Heard(worker, *HEARD)
    async with worker:
        job = queue.add("n")
        [(pid,)] = await until_async(lambda: sql.all(COMMITTING))
        sql.run("SELECT pg_terminate_backend(%s, 5000)", [pid])
        await until_async(lambda: heard.events)
    await holder.close()
    assert heard.names() == ["failed"]
    assert queue.get(job.id).state == JobState.FAILED
    assert not effects.counts()


async def test_a_machine_that_vanishes_before_its_commit_keeps_no_lock_for_long(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    found: list[tuple[str, str]] = []

    def handler(job: Any) -> None:
        committer = job.reporter.committer
        with job.transaction() as connection:
            usual = committer.written

            def written(*args: Any) -> None:
                [row] = connection.execute(ASK).fetchall()
                found.append(row)
                usual(*args)

            committer.written = written
        found.append(("", ""))

    ASK = "SHOW idle_in_transaction_session_timeout"  # noqa: N806
    job = queue.add("n")
    await drain(Worker("work", handler, dsn=dsn))
    assert queue.get(job.id).state == JobState.COMPLETED
    assert found == [("10s",), ("", "")]


async def test_another_jobs_outcome_waits_only_for_the_commit(
    dsn: str, queue: Queue, sql: Sql, effects: Effects
) -> None:
    """Jobs of one claim share a lease row, and a block leaves it alone until its end."""
    inside, go = asyncio.Event(), asyncio.Event()

    async def handler(job: Any) -> None:
        if job.data != "block":
            await inside.wait()
            return
        async with job.transaction() as connection:
            await connection.execute(write(job.id))
            inside.set()
            await go.wait()

    block, other = queue.add_bulk([NewJob("n", "block"), NewJob("n", "other")])
    async with Worker("work", handler, dsn=dsn):
        await until_async(lambda: queue.get(other.id).state == JobState.COMPLETED)
        assert queue.get(block.id).state == JobState.ACTIVE
        go.set()
        await until_async(lambda: queue.get(block.id).state == JobState.COMPLETED)
    assert effects.counts() == {block.id: 1}


@kinds
async def test_a_worker_that_stops_in_a_block_gives_the_job_back_without_its_writes(
    dsn: str, queue: Queue, effects: Effects, kind: str
) -> None:
    inside, go = threading.Event(), threading.Event()

    def handler(job: Any) -> None:
        with job.transaction() as connection:
            connection.execute(write(job.id))
            inside.set()
            go.wait(60)

    async def on_the_loop(job: Any) -> None:
        async with job.transaction() as connection:
            await connection.execute(write(job.id))
            inside.set()
            await asyncio.Event().wait()

    job = queue.add("n")
    worker = Worker(
        "work",
        handler if kind == "def" else on_the_loop,
        shutdown_timeout=0,
        dsn=dsn,
    )
    async with worker:
        await until_async(inside.is_set)
    go.set()
    assert queue.get(job.id).state == JobState.WAITING
    until(lambda: not effects.counts())
    await drain(Worker("work", handler, dsn=dsn))
    assert queue.get(job.id).state == JobState.COMPLETED
    assert effects.counts() == {job.id: 1}


@pytest.mark.slow
@pytest.mark.timeout(300)
@kinds
def test_under_random_kills_there_are_as_many_effects_as_jobs(
    dsn: str, queue: Queue, effects: Effects, kind: str
) -> None:
    dice = random.Random(kind)  # noqa: S311
    jobs = queue.add_bulk(
        [NewJob("n", {"takes": dice.random() * 0.05}) for _ in range(200)]
    )
    options = {"concurrency": 4, "max_stalled": 1000}
    kills = 0
    while queue.counts().completed < len(jobs):
        with worker_process(dsn, kind, **options) as process:
            if kills < 6:
                process.until("inside", dice.randint(5, 30), timeout=60)
                process.kill()
                kills += 1
            else:
                done = lambda: queue.counts().completed == len(jobs)  # noqa: E731
                waiting.until(done, 200)
    assert kills == 6
    assert effects.counts() == {job.id: 1 for job in jobs}
    assert Counter(queue.get(job.id).state for job in jobs) == {"completed": 200}


@kinds
async def test_a_job_that_times_out_in_its_commit_is_what_the_commit_comes_to(
    dsn: str, queue: Queue, sql: Sql, effects: Effects, kind: str
) -> None:
    """A thread's commit goes on and counts; a coroutine's is cancelled in the server."""
    hold_commits(sql)
    holder = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
    await holder.execute(f"SELECT pg_advisory_lock({LOCK})")

    def handler(job: Any) -> None:
        with job.transaction() as connection:
            connection.execute(write(job.id))

    async def on_the_loop(job: Any) -> None:
        async with job.transaction() as connection:
            await connection.execute(write(job.id))

    ours = handler if kind == "def" else on_the_loop
    worker = Worker("work", ours, dsn=dsn)
    heard = Heard(worker, *HEARD)
    async with worker:
        job = queue.add("n", timeout=1)
        await until_async(lambda: sql.all(COMMITTING))
        if kind == "def":
            # The failure waits for the row that the commit holds.
            await until_async(lambda: sql.all(WAITING))
        else:
            await until_async(lambda: not sql.all(COMMITTING))
        await holder.close()
        await until_async(lambda: heard.events)
    committed = kind == "def"
    assert queue.get(job.id).state == ("completed" if committed else "failed")
    assert effects.of(job.id) == committed
    assert heard.names()[0] == ("completed" if committed else "failed")
    assert "lease_lost" not in heard.names()


WAITING = "SELECT FROM pg_stat_activity WHERE wait_event = 'transactionid'"
