"""Both kinds of Django's test cases can be used with jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.management import call_command

from django import test
from django_app import jobs, tasks
from django_app.models import Note
from django_site import run_case
from pgqueue.django import queue
from pgqueue.django.testing import TransactionTestCase, run_jobs

if TYPE_CHECKING:
    from conftest import Sql


def test_a_test_case_sees_its_jobs_and_leaves_none(site: Sql) -> None:
    class Case(test.TestCase):
        @classmethod
        def setUpTestData(cls) -> None:
            jobs.write.add("of the class")

        def test_one(self) -> None:
            jobs.write.add("of the test")
            assert queue("notes").count() == 2
            assert [job.name for job in queue("notes").jobs()] == ["write", "write"]

        def test_a_command_leaves_its_transaction_alone(self) -> None:
            jobs.write.add("of the test")
            call_command("pgqueue", "queue", "ls")
            assert queue("notes").count() == 2

        def test_two(self) -> None:
            result = tasks.add.enqueue(1)
            assert tasks.add.get_result(result.id) == result
            assert queue("notes").count() == 1

    assert run_case(Case) == 3
    assert site.value("SELECT count(*) FROM pgqueue.job") == 0


def test_a_transaction_test_case_runs_jobs_and_leaves_none(site: Sql) -> None:
    class Case(TransactionTestCase):
        available_apps = ("django_app", "pgqueue.django")

        def test_one(self) -> None:
            jobs.write.add("really")
            run_jobs()
            assert Note.objects.get().text == "really"
            assert queue("notes").counts().completed == 1

        def test_two(self) -> None:
            assert queue("notes").counts().total == 0
            queue("notes").add("another")

    assert run_case(Case) == 2
    assert site.value("SELECT count(*) FROM pgqueue.job") == 0
    assert site.value("SELECT count(*) FROM pgqueue.alembic_version") == 1
