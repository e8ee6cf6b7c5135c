"""A queue of Django is a part of `atomic()`."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError
from django.test import override_settings
from psycopg.conninfo import conninfo_to_dict

from django_site import database_of
from pgqueue import ConfigError, FlowNode, JobNotFound, NewJob
from pgqueue.django import (
    AsyncFlowProducer,
    AsyncQueue,
    FlowProducer,
    Queue,
    dsn,
    queue,
)
from pgqueue.errors import PgQueueError, UnsupportedConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Sql

JOBS = "SELECT count(*) FROM pgqueue.job"


class Undo(Exception):
    """Rolls a block back."""


def test_a_job_added_in_a_block_exists_once_it_commits(site: Sql) -> None:
    with transaction.atomic():
        Queue("notes").add("write", {"text": "a"})
        assert site.value(JOBS) == 0
    assert site.value(JOBS) == 1


def test_a_block_that_is_rolled_back_takes_its_jobs_along(site: Sql) -> None:
    with pytest.raises(Undo), transaction.atomic():  # noqa: PT012  the block is tested
        queue("notes").add("write")
        FlowProducer().add(
            FlowNode("a", queue="x", children=[FlowNode("b", queue="y")])
        )
        raise Undo
    assert site.value(JOBS) == 0


def test_an_inner_block_takes_only_its_own_jobs_back(site: Sql) -> None:
    with transaction.atomic():
        queue("notes").add("outer")
        with pytest.raises(Undo), transaction.atomic():  # noqa: PT012
            queue("notes").add("inner")
            raise Undo
    assert [job.name for job in queue("notes").jobs()] == ["outer"]


def test_outside_a_block_a_job_is_there_at_once(site: Sql) -> None:
    job = queue("notes").add("write")
    assert site.value(JOBS) == 1
    assert queue("notes").get(job.id) == job


def test_a_call_runs_on_the_connection_of_django(site: Sql) -> None:
    with transaction.atomic():
        queue("notes").add("write")
        with connection.cursor() as cursor:
            cursor.execute(JOBS)
            assert cursor.fetchone() == (1,)
        transaction.set_rollback(True)
    assert site.value(JOBS) == 0


def test_an_alias_and_djangos_connection_may_be_given(site: Sql) -> None:
    with transaction.atomic():
        queue("notes").add("write", connection="default")
        queue("notes").add("write", connection=connection)
        assert site.value(JOBS) == 0
    assert site.value(JOBS) == 2


def test_a_connection_of_a_driver_keeps_its_own_transaction(
    site: Sql, site_dsn: str
) -> None:
    with pytest.raises(Undo), transaction.atomic():  # noqa: PT012
        queue("notes").add("write", connection=site.connection)
        raise Undo
    assert site.value(JOBS) == 1


def test_what_a_generator_sent_is_taken_back_when_it_fails_in_a_block(
    site: Sql,
) -> None:
    def jobs() -> Iterator[NewJob]:
        for n in range(3000):
            yield NewJob("write", n)
        raise Undo

    with transaction.atomic():
        queue("notes").add("before")
        with pytest.raises(Undo):
            queue("notes").add_bulk(jobs())
    assert site.value(JOBS) == 1


def test_a_failed_statement_breaks_the_block_and_says_so(site: Sql) -> None:
    def fail() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL search_path TO public")
        with site_is_readonly():
            queue("notes").add("write")

    with transaction.atomic():
        with pytest.raises(Exception, match="read-only") as caught:
            fail()
        assert connection.needs_rollback
        with pytest.raises(TransactionManagementError):
            queue("notes").add("write")
    assert not isinstance(caught.value, TransactionManagementError)
    assert site.value(JOBS) == 0


class site_is_readonly:  # noqa: N801  reads as a sentence
    """Let every write of this transaction fail."""

    def __enter__(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")

    def __exit__(self, *exc: object) -> None:
        """The transaction is lost anyway."""


def test_what_is_not_found_breaks_no_block(site: Sql) -> None:
    with transaction.atomic():
        with pytest.raises(JobNotFound):
            queue("notes").get(1)
        queue("notes").add("write")
    assert site.value(JOBS) == 1


def test_the_async_queue_joins_the_block_around_it(site: Sql) -> None:
    async def add() -> int:
        await AsyncQueue("more").add("write_later", {"text": "a"})
        await AsyncFlowProducer().add(FlowNode("a", queue="x"))
        await AsyncQueue("more").add_bulk([NewJob("b"), NewJob("c")])
        return await AsyncQueue("more").count()

    with transaction.atomic():
        assert async_to_sync(add)() == 3
        assert site.value(JOBS) == 0
        transaction.set_rollback(True)
    assert site.value(JOBS) == 0
    assert async_to_sync(add)() == 3
    assert site.value(JOBS) == 4


def test_result_waits_outside_a_block(site: Sql, work: Callable[..., None]) -> None:
    job = queue("notes").add("raw", 1)
    with pytest.raises(TimeoutError):
        queue("notes").result(job.id, timeout=0)
    work()
    assert queue("notes").result(job.id, timeout=0) == {"queue": "notes", "data": 1}


def test_a_database_that_is_not_postgresql_is_refused() -> None:
    class Other:
        vendor = "sqlite"
        alias = "other"

    from django.db import connections  # noqa: PLC0415

    connections["other"] = Other()  # type: ignore[assignment]
    try:
        with pytest.raises(UnsupportedConnection):
            queue("notes").add("write", connection="other")
        with pytest.raises(ConfigError, match="PostgreSQL"):
            dsn("other")
    finally:
        del connections["other"]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"DATABSE": "default"}, "DATABSE"),
        ({"DATABASE": 1}, "DATABASE"),
        ({"SCHEMA": "Not; good"}, "SCHEMA"),
        ([], "PGQUEUE"),
    ],
)
def test_a_setting_that_means_nothing_is_named(given: Any, what: str) -> None:
    from pgqueue.django.conf import site as settings_of_site  # noqa: PLC0415

    with override_settings(PGQUEUE=given), pytest.raises(PgQueueError, match=what):
        settings_of_site()


def test_the_check_names_an_alias_that_is_not_there() -> None:
    from django.core.checks import run_checks  # noqa: PLC0415

    with override_settings(PGQUEUE={"DATABASE": "nowhere"}):
        found = [each.id for each in run_checks()]
    assert "pgqueue.E001" in found
    assert not run_checks()


@pytest.fixture
def other(site: Sql, dsn: str) -> Iterator[str]:
    """Another alias, of another database that has the schema too."""
    from django.db import connections  # noqa: PLC0415

    settings = {**connections.settings["default"], **database_of(dsn)}
    connections.settings["other"] = settings
    yield "other"
    connections["other"].close()
    del connections["other"]
    del connections.settings["other"]


def test_a_block_of_one_database_does_not_hold_jobs_of_another(
    site: Sql, sql: Sql, other: str
) -> None:
    with transaction.atomic():
        Queue("notes", database=other).add("elsewhere")
        queue("notes").add("elsewhere", connection=other)
        queue("notes").add("here")
        transaction.set_rollback(True)
    assert (site.value(JOBS), sql.value(JOBS)) == (0, 2)


def test_the_setting_says_which_database_is_joined(
    site: Sql, sql: Sql, other: str
) -> None:
    from pgqueue.django.models import Job  # noqa: PLC0415

    with override_settings(PGQUEUE={"DATABASE": other}):
        with transaction.atomic(using=other):
            queue("notes").add("there")
            assert sql.value(JOBS) == 0
        assert [job.name for job in Job.objects.filter(queue="notes")] == ["there"]
        assert dsn_names(sql, dsn())
    assert (site.value(JOBS), sql.value(JOBS)) == (0, 1)


def dsn_names(sql: Sql, found: str) -> bool:
    """Whether a DSN leads to a database."""
    name = sql.value("SELECT current_database()")
    return conninfo_to_dict(found)["dbname"] == name


PAIRS = [(Queue, AsyncQueue), (FlowProducer, AsyncFlowProducer)]


@pytest.mark.parametrize(("sync", "asynchronous"), PAIRS)
def test_the_async_twin_has_the_same_methods(sync: type, asynchronous: type) -> None:
    def public(cls: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in inspect.getmembers(cls, callable)
            if not name.startswith("_")
        }

    assert public(sync) == public(asynchronous)
    made = [inspect.signature(cls).parameters.values() for cls in (sync, asynchronous)]
    assert list(made[0]) == list(made[1])
