"""How a worker comes back: to a server that was away, and from the dead."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgqueue import Queue, Worker
from pgqueue.config import Settings
from pgqueue.errors import DatabaseUnavailable
from pgqueue.worker.heartbeat import Heartbeat
from pgqueue.worker.outage import Outage
from pgqueue.worker.session import PLAN, Session, SessionLost
from waiting import until_async
from working import Heard

if TYPE_CHECKING:
    from conftest import PrivateServer, Sql
    from working import Facts


async def test_a_worker_that_others_take_for_dead_begins_a_new_life(
    dsn: str, queue: Queue, sql: Sql, facts: Facts
) -> None:
    """Its own clock says that its leases are valid; the database's word counts."""

    async def handler(job: Any) -> str:
        return "done"

    async with Worker("work", handler, dsn=dsn, lease=6):
        before = queue.add("before")
        await until_async(lambda: queue.get(before.id).state == "completed")
        assert sql.run("UPDATE pgqueue.worker SET dead_at = clock_timestamp()") == 1
        await until_async(lambda: facts.count("worker.fenced") == 1)
        after = queue.add("after")
        await until_async(lambda: queue.get(after.id).state == "completed")
    living = "SELECT count(*) FROM pgqueue.worker WHERE dead_at IS NULL"
    assert sql.value(living) == 0


class EnoughError(Exception):
    """Ends an attempt that would otherwise go on for ever."""


async def test_the_pauses_are_jittered_double_up_to_ten_seconds_and_are_told(
    facts: Facts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bounds: list[tuple[float, float]] = []

    def dice(low: float, high: float) -> float:
        bounds.append((low, high))
        if len(bounds) == 10:
            raise EnoughError
        return 0.0

    monkeypatch.setattr("pgqueue.worker.session.random.uniform", dice)
    session = Session(Settings.load("postgresql://nobody@127.0.0.1:1/nowhere"))
    with caplog.at_level(logging.WARNING, "pgqueue"), pytest.raises(EnoughError):
        await session.exchange([])
    longest = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10]
    assert bounds == [(0, most) for most in longest]
    told = [*facts.of("database.lost"), *facts.of("database.away")]
    assert [fact["again_within"] for fact in told] == longest
    [warning] = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "Connection refused" in warning
    assert warning.startswith("database.lost during=claim")


async def test_a_connection_that_broke_while_it_was_idle_is_left_without_a_word(
    dsn: str, sql: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    """Psycopg would warn that its pipeline cannot be ended either."""
    session = Session(Settings.load(dsn))
    await session.exchange([PLAN])
    ended = sql.run(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE"
        " datname = current_database() AND application_name = 'pgqueue'"
    )
    assert ended == 1
    with caplog.at_level(logging.DEBUG), pytest.raises(SessionLost):
        await session.exchange([PLAN, PLAN])
    said = [(r.name, r.getMessage()) for r in caplog.records]
    assert [name for name, text in said if "database.lost" not in text] == []
    assert len(await session.exchange([PLAN])) == 1
    await session.close()


async def test_an_outage_is_one_warning_and_one_line_when_it_is_over(
    private_server: PrivateServer,
    facts: Facts,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("pgqueue.worker.incarnation.INTERVAL", 0.2)
    dsn = private_server.dsn

    async def handler(job: Any) -> None: ...

    # Its heart beats every five seconds; the leases outlive the outage.
    worker = Worker("work", handler, dsn=dsn, lease=15)
    parts = {"claim", "heartbeat", "maintenance", "look at pauses"}
    parts |= {"listener"} if worker.settings.listen else set()
    heard = Heard(worker, "error")

    def noticed() -> bool:
        seen = [*facts.of("database.lost"), *facts.of("database.away")]
        return parts <= {fact["during"] for fact in seen}

    def over(times: int) -> bool:
        return facts.count("database.restored") == times

    async def add_and_wait() -> None:
        # With a pool for this call only: it has its own words for an outage.
        with Queue("work", dsn=dsn) as queue:
            job = queue.add("n")
            await until_async(lambda: queue.get(job.id).state == "completed")

    caplog.set_level(logging.INFO)
    async with worker:
        await add_and_wait()
        private_server.shutdown()
        await until_async(noticed)
        await asyncio.to_thread(private_server.start)
        await until_async(lambda: over(1))
        await add_and_wait()
        assert isinstance(heard.of("error")[0][0], DatabaseUnavailable)
        await asyncio.to_thread(private_server.restart)
        await until_async(lambda: over(2))
    said = [record.getMessage().split(" ")[0] for record in caplog.records]
    outage = ["database.lost", "database.restored"]
    begun, ended = ["worker.started"], ["worker.stopping", "worker.stopped"]
    assert said == [*begun, *outage, *outage, *ended], caplog.text
    assert {r.levelname for r in caplog.records} == {"INFO", "WARNING"}
    assert "Traceback" not in caplog.text


async def test_a_server_that_became_read_only_is_waited_for_with_growing_pauses(
    private_server: PrivateServer, facts: Facts
) -> None:
    """As the old primary after a fail-over, or a standby that is still one."""

    async def handler(job: Any) -> None: ...

    def all_sessions(settings: str) -> None:
        options = "-c default_transaction_read_only=off"
        with psycopg.connect(dsn, autocommit=True, options=options) as own:
            own.execute(f"ALTER DATABASE private {settings}")
            own.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'pgqueue'"
            )

    def refused() -> list[float]:
        seen = [*facts.of("database.lost"), *facts.of("database.away")]
        return [one["again_within"] for one in seen if "again_within" in one]

    dsn = private_server.dsn
    async with Worker("work", handler, dsn=dsn, lease=60):
        all_sessions("SET default_transaction_read_only = on")
        await until_async(lambda: len(refused()) >= 4)
        assert sorted(refused())[:4] == [0.1, 0.2, 0.4, 0.8]
        # The listener may be back before the claims find out.
        assert facts.count("database.lost") <= 2
        all_sessions("RESET default_transaction_read_only")
        with Queue("work", dsn=dsn) as queue:
            job = queue.add("n")
            await until_async(lambda: queue.get(job.id).state == "completed")


def test_who_finds_out_late_tells_no_second_outage(facts: Facts) -> None:
    outage, broken = Outage(), DatabaseUnavailable("gone")
    for part in ("claim", "heartbeat"):
        outage.works(part)
    outage.lost("claim", broken)
    outage.works("claim")
    # Its connection is as old as the outage: it broke in that.
    outage.lost("heartbeat", broken)
    assert (facts.count("database.lost"), facts.count("database.restored")) == (1, 1)
    # But that it cannot connect now is news.
    outage.lost("heartbeat", broken)
    outage.lost("claim", broken)
    outage.works("heartbeat")
    assert (facts.count("database.lost"), facts.count("database.restored")) == (2, 1)
    outage.works("claim")
    assert facts.count("database.restored") == 2


def test_a_lease_of_30_seconds_outlives_an_outage_of_15(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also one that begins just before a renewal, whose last try fails just before."""
    now = 0.0
    monkeypatch.setattr("pgqueue.worker.heartbeat.clock", lambda: now)
    waits: list[float] = []
    left: list[float] = []

    class Ticks(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            nonlocal now
            waits.append(timeout or 0.0)
            now += timeout or 0.0
            left.append(heart.time_left())
            return len(waits) == 17

    heart = Heartbeat(
        Settings.load("postgresql://nobody@127.0.0.1:1/nowhere"),
        1,
        30.0,
        fenced=lambda: None,
        ended=lambda: None,
        cancelled=lambda _: None,
        outage=Outage(),
    )
    heart._stop = Ticks()
    heart._run()
    assert waits == [10.0] + [1.0] * 16
    # The try after these sixteen would have found the server, in time.
    assert left[-1] > 0
