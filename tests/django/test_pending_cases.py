"""`run_pending` in Django's test cases: all of it is in the test's transaction."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

import pgqueue as core
from django import test
from django_app import jobs, tasks
from django_app.models import Note
from django_site import run_case
from pgqueue import ConfigError
from pgqueue.django import AsyncQueue, Worker, queue
from pgqueue.django.testing import TransactionTestCase
from pgqueue.django.worker import make_site_worker
from pgqueue.testing import (
    aassert_added,
    aassert_nothing_added,
    arun_pending,
    assert_added,
    assert_nothing_added,
    atravel,
    run_pending,
    travel,
)
from pgqueue.testing.guarding import only

if TYPE_CHECKING:
    from conftest import Sql

QUERY = "SELECT state FROM pgqueue.jobs WHERE id = %s"


def note(job: Any) -> int:
    job.log("writing")
    queue("mail").add("more", {"text": "of a handler"}, delay=60)
    return int(Note.objects.create(text=job.data["text"]).pk)


async def anote(job: Any) -> int:
    await job.log("writing")
    await job.update_progress(50)
    assert await job.children_values() == {}
    await AsyncQueue("mail").add("more", {"text": "of a handler"}, delay=60)
    return int((await Note.objects.acreate(text=job.data["text"])).pk)


def worker_of(handler: Any) -> Worker:
    worker = Worker(["mail"])
    worker.handler("note")(handler)
    return worker


def check(runs: list[Any]) -> None:
    assert [(run.ending, run.error) for run in runs] == [("completed", None)]
    assert Note.objects.get().text == "hello"
    assert queue("mail").counts().delayed == 1


@pytest.mark.parametrize("handler", [note, anote])
@pytest.mark.parametrize(
    "place",
    [
        {},
        {"connection": "default"},
        {"queue": queue("mail")},
        {"queue": AsyncQueue("mail")},
    ],
    ids=["worker", "alias", "queue", "async queue"],
)
@pytest.mark.timeout(100)
def test_a_worker_of_django_runs_in_the_transaction_of_a_test_case(
    site: Sql, handler: Any, place: dict[str, Any]
) -> None:
    ours = {"note": handler} if "queue" in place else worker_of(handler)

    class Case(test.TestCase):
        def test_sync(self) -> None:
            queue("mail").add("note", {"text": "hello"})
            check(run_pending(ours, **place))

        async def test_async(self) -> None:
            await AsyncQueue("mail").add("note", {"text": "hello"})
            runs = await arun_pending(ours, **place)
            await sync_to_async(check)(runs)

    assert run_case(Case) == 2
    assert site.value("SELECT count(*) FROM pgqueue.job") == 0
    assert site.value("SELECT count(*) FROM django_app_note") == 0


def test_the_worker_of_a_site_runs_jobs_and_tasks_of_a_test_case(site: Sql) -> None:
    class Case(test.TestCase):
        def test_all(self) -> None:
            job = jobs.write.add("hello")
            task = tasks.add.enqueue(1)
            runs = run_pending(make_site_worker(), raise_errors=True)
            assert len(runs) == 2
            assert Note.objects.filter(pk=jobs.notes.result(job.id, 0)).exists()
            assert tasks.add.get_result(task.id).status == "SUCCESSFUL"

    assert run_case(Case) == 1


def test_job_transaction_is_a_savepoint_of_a_test_case(site: Sql) -> None:
    def handler(job: Any) -> None:
        with job.transaction():
            Note.objects.create(text="in a block")

    class Case(test.TestCase):
        def test_it(self) -> None:
            job = queue("mail").add("note")
            [run] = run_pending(worker_of(handler), connection="default")
            assert (run.ending, run.error) == ("completed", None)
            assert queue("mail").get(job.id).state == "completed"
            assert Note.objects.count() == 1

    assert run_case(Case) == 1


def test_where_a_test_commits_it_commits_too(site: Sql) -> None:
    class Case(TransactionTestCase):
        available_apps = ("django_app", "pgqueue.django")

        def test_it(self) -> None:
            for handler in (note, anote):
                job = queue("mail").add("note", {"text": handler.__name__})
                [run] = run_pending(worker_of(handler))
                assert (run.ending, run.error) == ("completed", None)
                assert site.value(QUERY, [job.id]) == "completed"

    assert run_case(Case) == 1


def test_an_async_block_says_that_it_cannot_be_in_a_test_case(site: Sql) -> None:
    async def handler(job: Any) -> None:
        async with job.transaction():
            raise AssertionError

    class Case(test.TestCase):
        def test_sync(self) -> None:
            queue("mail").add("note")
            with pytest.raises(ConfigError, match="TransactionTestCase"):
                run_pending(worker_of(handler), raise_errors=True)

        async def test_async(self) -> None:
            await AsyncQueue("mail").add("note")
            with pytest.raises(ConfigError, match="TransactionTestCase"):
                await arun_pending(worker_of(handler), raise_errors=True)

    assert run_case(Case) == 2


@pytest.mark.timeout(100)
def test_a_worker_beside_the_transaction_says_so_and_does_not_hang(
    site: Sql, site_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgqueue.testing.running.PATIENCE", 1)

    class Case(test.TestCase):
        def test_sync(self) -> None:
            queue("mail").add("note", {"text": "hello"})
            for place in (
                {"dsn": site_dsn},
                {"queue": core.Queue("mail", dsn=site_dsn)},
            ):
                ours = {"note": note} if "queue" in place else worker_of(note)
                with pytest.raises(ConfigError, match="still open"):
                    run_pending(ours, **place)

        async def test_async(self) -> None:
            await AsyncQueue("mail").add("note", {"text": "hello"})
            with pytest.raises(ConfigError, match="still open"):
                await arun_pending(worker_of(note), dsn=site_dsn)

    assert run_case(Case) == 2


def test_run_pending_in_an_async_test_says_what_to_write(site: Sql) -> None:
    class Case(test.TestCase):
        async def test_it(self) -> None:
            with pytest.raises(ConfigError, match="await arun_pending"):
                run_pending(worker_of(note))

    assert run_case(Case) == 1


def test_assertions_look_where_a_queue_of_the_other_kind_is(site: Sql) -> None:
    class Case(test.TestCase):
        def test_sync(self) -> None:
            queue("mail").add("note")
            assert_added("note", queue=AsyncQueue("mail"), count=1)

        async def test_async(self) -> None:
            await AsyncQueue("mail").add("note")
            await aassert_added("note", queue=queue("mail"), count=1)

    assert run_case(Case) == 2


@pytest.mark.parametrize("given", [None, "mail"], ids=["nothing", "a name"])
def test_helpers_that_are_told_no_queue_are_in_the_database_of_the_site(
    site: Sql, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    """Above all not in the one that the environment names: that may be in production."""
    nobody = "host=localhost port=1 dbname=production connect_timeout=2"
    monkeypatch.setenv("PGQUEUE_DSN", nobody)
    monkeypatch.setenv("DATABASE_URL", nobody)

    class Case(test.TestCase):
        def test_sync(self) -> None:
            assert_nothing_added(queue=given)
            queue("mail").add("note", {"text": "hello"}, delay=60)
            with pytest.raises(AssertionError, match="wanted no job"):
                assert_nothing_added(queue=given)
            assert_added("note", queue=given)
            travel(minutes=1)
            check(run_pending({"note": note}, queue="mail"))

        async def test_async(self) -> None:
            await aassert_nothing_added(queue=given)
            await AsyncQueue("mail").add("note", {"text": "hello"}, delay=60)
            await aassert_added("note", queue=given)
            await atravel(minutes=1)
            runs = await arun_pending({"note": anote}, queue="mail")
            await sync_to_async(check)(runs)

    # Also while a fixture gives another: Django's connection is in its test database.
    with only(nobody) if given else nullcontext():
        assert run_case(Case) == 2
    assert site.value("SELECT count(*) FROM pgqueue.job") == 0


def test_a_dsn_says_more_than_the_site(site: Sql, dsn: str) -> None:
    core.Queue("mail", dsn=dsn).add("elsewhere")
    assert_nothing_added()
    assert_added("elsewhere", dsn=dsn)


def test_the_fixture_with_a_database_says_more_than_the_site(
    site: Sql, pgqueue_dsn: str
) -> None:
    with core.Queue("mail") as mail:
        mail.add("elsewhere")
        assert_added("elsewhere")
        assert site.value("SELECT count(*) FROM pgqueue.job") == 0


@pytest.mark.parametrize("worker", [core.Queue("mail"), 7])
def test_run_pending_says_what_it_takes(worker: Any) -> None:
    with pytest.raises(ConfigError, match="worker takes a Worker, a handler"):
        run_pending(worker)
