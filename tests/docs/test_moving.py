"""The statement that moves Procrastinate's waiting jobs, as the guide prints it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgqueue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Sql

GUIDE = Path(__file__).parents[2] / "docs" / "migrating" / "procrastinate.md"
[MOVE] = re.findall(r"```sql\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
# The columns that it reads, with their types in release 3 of Procrastinate.
THEIRS = """
    CREATE TABLE procrastinate_jobs (
        id bigserial PRIMARY KEY, queue_name varchar(128) NOT NULL,
        task_name varchar(128) NOT NULL, priority integer DEFAULT 0 NOT NULL,
        args jsonb DEFAULT '{}' NOT NULL, status text DEFAULT 'todo' NOT NULL,
        scheduled_at timestamptz, attempts integer DEFAULT 0 NOT NULL, lock text)
"""


@pytest.fixture
def theirs(sql: Sql) -> Iterator[None]:
    sql.run(THEIRS)
    sql.run(
        "INSERT INTO procrastinate_jobs"
        " (queue_name, task_name, priority, args, status, scheduled_at, lock) VALUES"
        " ('mail', 'low', -2, '{\"n\": 1}', 'todo', NULL, NULL),"
        " ('mail', 'plain', 0, '{\"n\": 2}', 'todo', NULL, NULL),"
        " ('mail', 'urgent', 5, '{\"n\": 3}', 'todo', NULL, NULL),"
        " ('mail', 'later', 0, '{}', 'todo', now() + interval '1 day', 'tenant-7'),"
        " ('mail', 'runs', 0, '{}', 'doing', NULL, NULL),"
        " ('mail', 'done', 0, '{}', 'succeeded', NULL, NULL)"
    )
    yield
    sql.run("DROP TABLE procrastinate_jobs")


@pytest.mark.usefixtures("theirs")
def test_what_waits_goes_over_in_its_order_and_the_rest_stays(
    dsn: str, sql: Sql
) -> None:
    sql.run(MOVE)
    with Queue("mail", dsn=dsn) as queue:
        names = [job.name for job in queue.jobs("waiting")]
        names += [job.name for job in queue.jobs("prioritized")]
        assert names == ["urgent", "plain", "low"]
        [later] = queue.jobs("delayed")
        assert (later.name, later.key, later.attempts, later.group) == (
            "later",
            "procrastinate-4",
            5,
            "tenant-7",
        )
        assert queue.jobs("waiting")[0].data == {"n": 3}
    left = sql.all("SELECT task_name FROM procrastinate_jobs ORDER BY id")
    assert [job.task_name for job in left] == ["runs", "done"]


@pytest.mark.usefixtures("theirs")
def test_a_job_that_a_worker_of_theirs_takes_meanwhile_is_left_to_it(
    dsn: str, sql: Sql
) -> None:
    with psycopg.connect(dsn) as taking:
        taking.execute(
            "UPDATE procrastinate_jobs SET status = 'doing' WHERE task_name = 'urgent'"
        )
        sql.run(MOVE)
    moved = {job.name for job in sql.all("SELECT name FROM pgqueue.jobs")}
    assert moved == {"low", "plain", "later"}
    sql.run(MOVE)
    assert len(sql.all("SELECT FROM pgqueue.jobs")) == 3
