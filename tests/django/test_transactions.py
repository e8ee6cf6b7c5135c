"""`job.transaction()` in a worker of Django's is an `atomic()` of the site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction

from django import test
from django_app.models import Note
from patience import drain
from pgqueue import Worker as CoreWorker
from pgqueue.django import Queue, queue
from pgqueue.django import Worker as SiteWorker
from pgqueue.django.worker import adapt
from pgqueue.testing import run_pending
from pgqueue.types import JobState
from working import Heard

if TYPE_CHECKING:
    from conftest import Sql

WRITERS = (
    "SELECT f.xmin::text FROM pgqueue.finished f"
    " UNION SELECT n.xmin::text FROM django_app_note n"
)


def writes(job: Any) -> None:
    with job.transaction() as given:
        assert given.in_atomic_block
        Note.objects.create(text=f"by {job.id}")
        job.complete(job.id)
        if job.data == "raise":
            raise ValueError("on purpose")


async def awrites(job: Any) -> None:
    await sync_to_async(writes)(job)


async def own(job: Any) -> None:
    async with job.transaction() as given:
        await given.execute("INSERT INTO django_app_note (text) VALUES ('own')")


def made(kind: str, handler: Any) -> CoreWorker:
    if kind == "site":
        return SiteWorker("notes", handler)
    worker = CoreWorker("notes", handler)
    adapt(worker)
    return worker


@pytest.mark.parametrize("kind", ["site", "adapted"])
@pytest.mark.parametrize("handler", [writes, awrites], ids=["def", "async def"])
async def test_what_the_orm_writes_commits_with_the_completion(
    site: Sql, kind: str, handler: Any
) -> None:
    job = await sync_to_async(queue("notes").add)("n")
    worker = made(kind, handler)
    heard = Heard(worker, "completed", "failed", "error")
    await drain(worker)
    assert heard.names() == ["completed"]
    assert site.value("SELECT text FROM django_app_note") == f"by {job.id}"
    assert len(site.all(WRITERS)) == 1


@pytest.mark.parametrize("handler", [writes, awrites], ids=["def", "async def"])
async def test_an_exception_takes_back_what_the_orm_wrote(
    site: Sql, handler: Any
) -> None:
    job = await sync_to_async(queue("notes").add)("n", "raise")
    await drain(made("site", handler))
    assert site.value("SELECT count(*) FROM django_app_note") == 0
    found = await sync_to_async(queue("notes").get)(job.id)
    assert found.state == JobState.FAILED


async def test_an_async_handler_may_use_a_connection_of_psycopgs(site: Sql) -> None:
    await sync_to_async(queue("notes").add)("n")
    await drain(made("site", own))
    assert site.value("SELECT text FROM django_app_note") == "own"
    assert len(site.all(WRITERS)) == 1


async def test_what_is_registered_for_the_commit_happens_after_it(site: Sql) -> None:
    seen: list[str] = []

    def handler(job: Any) -> None:
        with job.transaction():
            transaction.on_commit(lambda: seen.append(state(job.id)))
            assert not seen

    def state(job_id: int) -> str:
        return str(queue("notes").get(job_id).state)

    await sync_to_async(queue("notes").add)("n")
    await drain(made("site", handler))
    assert seen == ["completed"]


def test_run_pending_commits_where_the_test_does(site: Sql) -> None:
    job = queue("notes").add("n")
    [run] = run_pending(writes, queue=queue("notes"))
    assert run.result == job.id
    assert site.value("SELECT text FROM django_app_note") == f"by {job.id}"
    assert len(site.all(WRITERS)) == 1


def test_in_a_test_case_it_is_a_part_of_the_tests_transaction(site: Sql) -> None:
    class Case(test.TestCase):
        def runTest(self) -> None:  # noqa: N802
            job = Queue("notes").add("n")
            [run] = run_pending(writes, queue=Queue("notes"))
            assert run.result == job.id
            assert Note.objects.count() == 1
            assert Queue("notes").get(job.id).state == JobState.COMPLETED

    outcome = Case().defaultTestResult()
    Case()(outcome)
    assert not outcome.errors, outcome.errors[0][1]
    assert not outcome.failures, outcome.failures[0][1]
    assert site.value("SELECT count(*) FROM django_app_note") == 0
