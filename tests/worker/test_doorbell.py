"""An idle worker costs next to nothing, and starts a job when it is committed."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgqueue import NewJob, Queue, Worker
from pgqueue.config import Settings
from pgqueue.worker.session import Session
from waiting import SOON, until_async
from working import work_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from conftest import Sql
    from working import Facts

listens = pytest.mark.skipif(
    not Settings.load().listen, reason="about LISTEN, and PGQUEUE_LISTEN=off"
)
SLEEPERS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'"
    " AND granted AND database = (SELECT oid FROM pg_database"
    " WHERE datname = current_database())"
)


DEAFEN = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
)


class Starts:
    """A handler that notes when each job started."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}
        self.claimed: dict[int, Any] = {}

    async def __call__(self, job: Any) -> None:
        self.at[job.id] = time.monotonic()
        self.claimed[job.id] = job.claimed_at


@asynccontextmanager
async def asleep(
    dsn: str, facts: Facts, handler: Any, **options: Any
) -> AsyncIterator[Worker]:
    """Give a worker that trusts the bell, or polls if there is none."""
    worker = Worker("work", handler, dsn=dsn, **options)
    async with worker:
        fact = "worker.sleeping" if worker.settings.listen else "worker.drained"
        await until_async(lambda: facts.count(fact))
        yield worker


class Ears:
    """Counts the notifications of the doorbell."""

    def __init__(self, dsn: str) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.connection.execute('LISTEN "pgqueue.doorbell"')

    def count(self) -> int:
        """Return how many came since the last call."""
        return sum(1 for _ in self.connection.notifies(timeout=0.2))


@pytest.fixture
def ears(dsn: str) -> Iterator[Ears]:
    ears = Ears(dsn)
    yield ears
    ears.connection.close()


async def test_a_job_starts_at_the_commit_of_its_transaction_not_before(
    dsn: str, queue: Queue, facts: Facts
) -> None:
    starts = Starts()
    waits = []
    async with asleep(dsn, facts, starts):
        for turn in range(8):
            with psycopg.connect(dsn) as own:
                job = queue.add("n", connection=own)
                if turn < 3:
                    await work_for(0.1)
                assert job.id not in starts.at
                committed = time.monotonic()
                own.commit()
                await until_async(lambda job=job: job.id in starts.at)
                waits.append(starts.at[job.id] - committed)
    print(f"from commit to start: median {statistics.median(waits) * 1000:.1f} ms")  # noqa: T201
    assert max(waits) < SOON


async def test_a_job_of_a_transaction_that_rolls_back_never_starts(
    dsn: str, queue: Queue, facts: Facts
) -> None:
    starts = Starts()
    async with asleep(dsn, facts, starts):
        with psycopg.connect(dsn) as own:
            queue.add("n", connection=own)
            own.rollback()
        after = queue.add("n")
        await until_async(lambda: after.id in starts.at)
    assert list(starts.at) == [after.id]


@listens
async def test_nobody_is_rung_for_while_nobody_sleeps(
    dsn: str, queue: Queue, facts: Facts, ears: Ears
) -> None:
    queue.add_bulk([NewJob("n") for _ in range(20)])
    assert ears.count() == 0

    async def handler(job: Any) -> None:
        if job.name == "adds":
            await asyncio.to_thread(queue.add, "n", remove_on_complete=True)

    queue.add_bulk([NewJob("adds", remove_on_complete=True) for _ in range(400)])
    await asyncio.wait_for(
        Worker("work", handler, dsn=dsn, concurrency=4).serve(drain=True), 20
    )
    # Two adds that look at the same instant may take each other for a sleeper.
    assert ears.count() <= 40


@listens
async def test_a_worker_with_no_free_slot_is_not_rung_for(
    dsn: str, queue: Queue, facts: Facts, ears: Ears, sql: Sql
) -> None:
    go = asyncio.Event()

    async def handler(job: Any) -> None:
        await go.wait()

    async with asleep(dsn, facts, handler, concurrency=1):
        queue.add("n")
        await until_async(lambda: queue.counts().active == 1)
        await until_async(lambda: sql.value(SLEEPERS) == 0)
        assert await asyncio.to_thread(ears.count) == 1
        for _ in range(10):
            queue.add("n")
        assert await asyncio.to_thread(ears.count) == 0
        go.set()
        await until_async(lambda: queue.counts().completed == 11)


@listens
async def test_one_transaction_rings_once_a_queue(
    dsn: str, queue: Queue, facts: Facts, ears: Ears
) -> None:
    starts = Starts()
    async with asleep(dsn, facts, starts):
        with psycopg.connect(dsn) as own:
            for _ in range(20):
                queue.add("n", connection=own)
            queue.add_bulk([NewJob("n") for _ in range(5000)], connection=own)
            own.commit()
        assert await asyncio.to_thread(ears.count) == 1
        await until_async(lambda: queue.counts().waiting == 0)


@listens
async def test_an_add_that_looked_before_the_worker_slept_is_found_at_its_commit(
    dsn: str, queue: Queue, facts: Facts, sql: Sql
) -> None:
    starts = Starts()
    queue.remove(queue.add("so that the queue exists").id)
    with psycopg.connect(dsn) as own:
        job = queue.add("n", connection=own)
        async with Worker("work", starts, dsn=dsn):
            await until_async(lambda: sql.value(SLEEPERS) == 1)
            # Longer than its polls: it must not come to trust the bell meanwhile.
            with pytest.raises(pytest.fail.Exception):
                await until_async(lambda: facts.count("worker.sleeping"), 1.2)
            committed = time.monotonic()
            own.commit()
            await until_async(lambda: job.id in starts.at)
            assert starts.at[job.id] - committed < SOON
            await until_async(lambda: facts.count("worker.sleeping"))


@listens
async def test_a_half_taken_doorbell_is_let_go(
    dsn: str, facts: Facts, sql: Sql
) -> None:
    go = asyncio.Event()

    async def handler(job: Any) -> None:
        if job.name == "waits":
            await go.wait()

    lock = "SELECT pg_try_advisory_lock(('pgqueue.queue'::regclass::oid::bigint - 2147483648)::integer, %s)"
    with Queue("one", dsn=dsn) as one, Queue("two", dsn=dsn) as two:
        one.count(), two.add("n")
        two_id = sql.value("SELECT id FROM pgqueue.queue WHERE name = 'two'")
        sql.value(lock, [two_id])
        async with Worker(["one", "two"], handler, concurrency=1, dsn=dsn):
            await until_async(lambda: facts.count("worker.drained"))
            for _ in range(3):
                with pytest.raises(pytest.fail.Exception):
                    await until_async(lambda: facts.count("worker.sleeping"), 0.2)
            sql.value("SELECT 1 FROM pg_advisory_unlock_all()")
            await until_async(lambda: facts.count("worker.sleeping"))
            assert sql.value(SLEEPERS) == 2
            # Session locks count: had it been taken twice, one would be left now.
            two.add("waits")
            await until_async(lambda: sql.value(SLEEPERS) == 0)
            go.set()


@listens
async def test_without_its_listener_a_worker_polls_until_it_is_back(
    dsn: str, queue: Queue, facts: Facts, sql: Sql
) -> None:
    starts = Starts()
    async with asleep(dsn, facts, starts):
        for turn in range(1, 4):
            slept = facts.count("worker.sleeping")
            sql.run(DEAFEN)
            await until_async(lambda turn=turn: facts.count("listener.lost") >= turn)
            job = queue.add("n")
            await until_async(lambda job=job: job.id in starts.at, SOON)
            await until_async(lambda turn=turn: facts.count("listener.ready") > turn)
            await until_async(lambda n=slept: facts.count("worker.sleeping") > n)


@listens
async def test_the_newest_of_all_transactions_is_not_overlooked_by_who_goes_to_sleep(
    dsn: str, queue: Queue, facts: Facts, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgqueue.db.listener.random.uniform", lambda *_: 0.5)
    starts = Starts()
    async with asleep(dsn, facts, starts):
        sql.run(DEAFEN)
        await until_async(lambda: facts.count("listener.lost"))
        await until_async(lambda: sql.value(SLEEPERS) == 0)
        with psycopg.connect(dsn) as own:
            job = queue.add("n", connection=own)
            await until_async(lambda: sql.value(SLEEPERS) == 1)
            with pytest.raises(pytest.fail.Exception):
                await until_async(lambda: facts.count("worker.sleeping") > 1, 0.8)
            committed = time.monotonic()
            own.commit()
            await until_async(lambda: job.id in starts.at)
            assert starts.at[job.id] - committed < SOON


async def test_delayed_jobs_are_on_time(
    dsn: str, queue: Queue, facts: Facts, sql: Sql
) -> None:
    starts = Starts()
    async with asleep(dsn, facts, starts):
        jobs = queue.add_bulk(
            [NewJob("n", delay=0.1 + 1.9 * n / 200) for n in range(200)]
        )
        due = {job.id: job.run_at for job in jobs}
        await until_async(lambda: len(starts.at) == 200)
    late = [(starts.claimed[i] - at).total_seconds() for i, at in due.items() if at]
    print(f"delayed jobs: median {statistics.median(late) * 1000:.1f} ms late")  # noqa: T201
    assert len(late) == 200
    assert min(late) >= 0
    assert max(late) < SOON


async def test_an_earlier_delay_wakes_who_sleeps_until_a_later_one(
    dsn: str, queue: Queue, facts: Facts
) -> None:
    starts = Starts()
    async with asleep(dsn, facts, starts):
        queue.add("later", delay=60)
        job = queue.add("soon", delay=0.3)
        await until_async(lambda: job.id in starts.at)
        assert job.run_at is not None
        assert 0 <= (starts.claimed[job.id] - job.run_at).total_seconds() < SOON


async def test_a_due_job_that_somebody_holds_is_waited_for_without_a_storm(
    dsn: str, queue: Queue, facts: Facts, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = Starts()
    rounds = count_rounds(monkeypatch)
    job = queue.add("n", delay=0.2)
    with psycopg.connect(dsn) as own:
        own.execute("SELECT FROM pgqueue.delayed FOR UPDATE")
        async with Worker("work", starts, dsn=dsn):
            await until_async(lambda: facts.count("worker.drained"))
            began = len(rounds)
            with pytest.raises(pytest.fail.Exception):
                await until_async(lambda: job.id in starts.at, 1)
            assert len(rounds) - began < 80
            own.commit()
            await until_async(lambda: job.id in starts.at, SOON)


def count_rounds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note the time of every round trip of every worker."""
    from pgqueue.worker.session import Session  # noqa: PLC0415

    rounds: list[float] = []
    exchange = Session.exchange

    async def counted(self: Session, statements: Any) -> Any:
        rounds.append(time.monotonic())
        return await exchange(self, statements)

    monkeypatch.setattr(Session, "exchange", counted)
    return rounds


def pauses(rounds: list[float]) -> list[float]:
    return [later - one for one, later in itertools.pairwise(rounds)]


async def test_an_idle_worker_is_idle(
    dsn: str, queue: Queue, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = count_rounds(monkeypatch)
    async with asleep(dsn, facts, Starts()) as worker:
        # It polls, every half second at last, while anybody's older transaction is open.
        if worker.settings.listen:
            await until_async(lambda: time.monotonic() - rounds[-1] > 0.8, 30)
        else:
            # One long pause may be the machine's; three are its own.
            await until_async(
                lambda: min([0.0, 0.0, 0.0, *pauses(rounds)][-3:]) > 0.3, 30
            )
        began, burnt = len(rounds), time.process_time()
        with pytest.raises(pytest.fail.Exception):
            await until_async(lambda: facts.count("job.completed"), 2)
        assert len(rounds) - began <= (1 if worker.settings.listen else 8)
        assert time.process_time() - burnt < 1


async def test_a_worker_at_rest_and_full_is_idle_too(
    dsn: str, queue: Queue, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = count_rounds(monkeypatch)
    go = asyncio.Event()

    async def handler(job: Any) -> None:
        await go.wait()

    queue.add_bulk([NewJob("n") for _ in range(5)])
    async with Worker("work", handler, dsn=dsn, concurrency=2):
        await until_async(lambda: queue.counts().active == 2)
        await until_async(lambda: time.monotonic() - rounds[-1] > 0.3)
        began = len(rounds)
        with pytest.raises(pytest.fail.Exception):
            await until_async(lambda: facts.count("job.completed"), 1)
        assert len(rounds) == began
        go.set()


@listens
async def test_a_ring_claims_and_starts_before_it_asks_for_delayed_jobs(
    dsn: str, queue: Queue, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that can wait stands between the commit of a job and its start."""
    happened: list[str] = []
    exchange = Session.exchange

    async def noted(session: Session, statements: Any) -> Any:
        names = {one.name for one in statements}
        happened.append("claims and promotes" if "promote_jobs" in names else "claims")
        return await exchange(session, statements)

    async def handler(_job: Any) -> None:
        happened.append("starts")

    async with asleep(dsn, facts, handler) as worker:
        [intake] = worker._incarnation._claimer._intakes.values()
        now = asyncio.get_running_loop().time
        # Not in the moment in which it would ask anyway.
        await until_async(lambda: intake.due_at - now() > 1)
        monkeypatch.setattr(Session, "exchange", noted)
        queue.add("n")
        await until_async(lambda: "claims and promotes" in happened)
    assert happened[:3] == ["claims", "starts", "claims and promotes"]
