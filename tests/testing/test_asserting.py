"""`assert_added` and `assert_nothing_added`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgqueue import AsyncQueue, ConfigError
from pgqueue.shells import site
from pgqueue.testing import (
    aassert_added,
    aassert_nothing_added,
    assert_added,
    assert_nothing_added,
)

if TYPE_CHECKING:
    from conftest import Sql
    from pgqueue import Queue


def test_a_job_added_in_the_open_transaction_is_seen_only_there(
    queue: Queue, connection: psycopg.Connection[Any], sql: Sql
) -> None:
    assert_nothing_added(queue=queue, connection=connection)
    job = queue.add("welcome", {"user": 7}, connection=connection)
    assert [one.id for one in assert_added("welcome", connection=connection)] == [
        job.id
    ]
    assert_nothing_added(queue=queue)
    connection.rollback()
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0


def test_data_is_compared_by_what_it_contains_at_any_depth(
    queue: Queue, connection: psycopg.Connection[Any]
) -> None:
    queue.add(
        "welcome", {"user": {"id": 7, "name": "a"}, "n": 1}, connection=connection
    )
    found = {"queue": "mail", "connection": connection}
    assert_added("welcome", data={"user": {"id": 7}}, count=1, **found)
    for other in ({"user": {"id": 8}}, {"x": 1}, [1]):
        with pytest.raises(AssertionError, match="found 0"):
            assert_added("welcome", data=other, **found)


def test_a_failed_assertion_lists_what_there_is(
    queue: Queue, connection: psycopg.Connection[Any]
) -> None:
    queue.add("welcome", {"user": 7}, connection=connection)
    with pytest.raises(AssertionError, match=r"mail: 'welcome' \{'user': 7\}, waiting"):
        assert_added("goodbye", queue=queue, connection=connection)
    with pytest.raises(AssertionError, match="wanted 2 jobs 'welcome'"):
        assert_added("welcome", count=2, queue=queue, connection=connection)
    with pytest.raises(AssertionError, match="wanted no job in queue 'mail'"):
        assert_nothing_added(queue=queue, connection=connection)
    assert_nothing_added(queue="other", dsn=None, connection=connection)
    assert_added("goodbye", count=0, connection=connection)


async def test_where_a_dsn_is_given_django_is_not_asked(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> Any:
        raise AssertionError

    monkeypatch.setattr(site, "_places", [asked])
    assert_nothing_added(dsn=dsn)
    await aassert_nothing_added(dsn=dsn)
    with pytest.raises(AssertionError):
        assert_nothing_added()


async def test_async_assertions_see_the_same(dsn: str) -> None:
    queue = AsyncQueue("mail", dsn=dsn)
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await aassert_nothing_added(connection=connection)
        await queue.add("welcome", {"a": 1}, connection=connection)
        await aassert_added(
            "welcome", data={"a": 1}, queue=queue, connection=connection
        )
        with pytest.raises(AssertionError):
            await aassert_nothing_added(connection=connection)
        await connection.rollback()
    await queue.close()


@pytest.mark.parametrize("bad", [{"queue": 7}, {"queue": ""}, {"count": -1}])
def test_bad_arguments_are_told_before_any_connection(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        assert_added("welcome", dsn="postgresql://nowhere.invalid/x", **bad)
