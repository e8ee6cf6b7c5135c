"""`jobs.py` of an app is found, and its functions run as Django needs it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections

from django_app import jobs
from pgqueue import ConfigError, Worker
from pgqueue.django import Queue, queue, registry
from pgqueue.django import Worker as SiteWorker
from pgqueue.django.handlers import SiteHandlers, guard
from pgqueue.django.worker import adapt, make_site_worker
from pgqueue.types import JobState

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sql


def test_functions_of_jobs_py_run(site: Sql, work: Callable[..., None]) -> None:
    jobs.write.add("first")
    job = jobs.notes.add("write_later", {"text": "nobody here"})
    work()
    assert site.value("SELECT text FROM django_app_note") == "first"
    assert jobs.notes.get(job.id).state != JobState.COMPLETED


def test_async_functions_run(site: Sql, work: Callable[..., None]) -> None:
    Queue("more").add("write_later", {"text": "later"})
    work()
    assert site.value("SELECT text FROM django_app_note") == "later"


def test_one_name_may_mean_another_function_in_another_queue(
    site: Sql, work: Callable[..., None]
) -> None:
    one, other = queue("notes").add("raw", 1), queue("more").add("raw", 2)
    work()
    assert queue("notes").result(one.id, 0) == {"queue": "notes", "data": 1}
    assert queue("more").result(other.id, 0) == {"more": 2}


def test_a_handler_adds_jobs_too(site: Sql, work: Callable[..., None]) -> None:
    jobs.add_another.add("from a handler")
    work()
    assert site.value("SELECT text FROM django_app_note") == "from a handler"


def test_two_functions_cannot_have_one_name_in_a_queue() -> None:
    mine = Queue("taken")
    before = dict(registry.ENTRIES)

    @mine.job("once")
    def one() -> None: ...

    with pytest.raises(ConfigError, match="once"):

        @mine.job("once")
        def two() -> None: ...

    registry.ENTRIES.clear()
    registry.ENTRIES.update(before)


def test_connections_are_closed_after_a_handler(
    site: Sql, work: Callable[..., None]
) -> None:
    job = jobs.backend_pid.add()
    work()
    pid = queue("notes").result(job.id, 0)
    query = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
    assert site.value(query, [pid]) == 0


def test_a_connection_that_the_server_ended_is_replaced(site: Sql) -> None:
    """A worker's thread outlives a restart of the server."""

    def handler(_job: Any) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return int(cursor.fetchone()[0])

    connections["default"].settings_dict["CONN_MAX_AGE"] = None
    guarded: Any = guard(handler)
    try:
        connection.ensure_connection()
        first = guarded(None)
        site.run("SELECT pg_terminate_backend(%s, 5000)", [first])
        with pytest.raises(Exception, match=r"terminat|closed|lost"):
            guarded(None)
        assert guarded(None) != first
    finally:
        connections["default"].settings_dict["CONN_MAX_AGE"] = 0


async def test_async_handlers_do_not_share_a_connection(site: Sql) -> None:
    seen: list[int] = []
    both = asyncio.Event()

    def pid() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return int(cursor.fetchone()[0])

    async def handler(_job: Any) -> None:
        seen.append(await sync_to_async(pid)())
        if len(seen) == 2:
            both.set()
        await both.wait()

    guarded: Any = guard(handler)
    await asyncio.gather(guarded(None), guarded(None))
    assert len(set(seen)) == 2
    query = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"
    assert site.value(query, [seen]) == 0


def test_a_job_that_killed_its_worker_runs_in_a_process_where_django_is_set_up(
    site: Sql, site_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its second run is in a child that knows nothing but the settings' name."""
    monkeypatch.setenv("DJANGO_TEST_DSN", site_dsn)
    job = jobs.die_once.add()
    site.run("UPDATE pgqueue.ready SET stalled = 1 WHERE job_id = %s", [job.id])

    async def drain() -> None:
        async with asyncio.timeout(100):
            await make_site_worker(["notes"]).serve(drain=True)

    asyncio.run(drain())
    assert queue("notes").result(job.id, 0) == "0 notes, in a process of its own"


def test_a_worker_made_without_django_is_made_to_fit(site: Sql, site_dsn: str) -> None:
    worker = Worker("notes", jobs.raw)
    adapt(worker)
    assert "dbname=" in worker.settings.dsn
    assert type(worker.handlers.default).__name__ == "Guarded"
    job = queue("notes").add("anything", 1)

    async def drain() -> None:
        async with asyncio.timeout(100):
            await worker.serve(drain=True)

    asyncio.run(drain())
    assert queue("notes").result(job.id, 0) == {"queue": "notes", "data": 1}


def test_a_worker_of_django_needs_no_dsn(site: Sql) -> None:
    worker = SiteWorker(["notes"])
    heard = threading.Event()

    @worker.handler("hello")
    def hello(_job: Any) -> None:
        heard.set()

    queue("notes").add("hello")

    async def drain() -> None:
        async with asyncio.timeout(100):
            await worker.serve(drain=True)

    asyncio.run(drain())
    assert heard.is_set()


def test_a_site_worker_takes_every_queue_that_is_known(site: Sql) -> None:
    assert set(make_site_worker().queues) == {"notes", "more", "default", "mail"}


def test_a_name_that_means_nothing_has_no_handler() -> None:
    handlers = SiteHandlers()
    assert handlers.find("no.such.module.task") is None
    assert handlers.find("os.system") is None
    assert handlers.find("word") is None
    assert handlers.find("write") is handlers.find("write") is not None
