"""Jobs in tests: a `TestCase` needs nothing, a `TransactionTestCase` this.

In a `TestCase` jobs are added in its transaction and vanish with it. Of what a
`TransactionTestCase` commits Django empties its own tables, and this empties ours.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Unpack

from django import test
from django.db import connections

from pgqueue.django.conf import site

if TYPE_CHECKING:
    from pgqueue.django.worker import WorkerOptions

EMPTY = """
DO $$ BEGIN
    EXECUTE (
        SELECT 'TRUNCATE ' || string_agg(c.oid::regclass::text, ', ') || ' CASCADE'
        FROM pg_class c WHERE c.relnamespace = '{schema}'::regnamespace
            AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version'
    );
END $$
"""


def forget_jobs(database: str | None = None) -> None:
    """Remove everything that pgqueue has in a database; for tests."""
    with connections[database or site().database].cursor() as cursor:
        cursor.execute(EMPTY.format(schema=site().schema))


class TransactionTestCase(test.TransactionTestCase):
    """Django's, with queues that are empty again after each test."""

    def _fixture_teardown(self) -> None:
        super()._fixture_teardown()
        if site().database in self._databases_names(include_mirrors=False):
            forget_jobs()


def run_jobs(
    *queues: str, within: float = 60, **options: Unpack[WorkerOptions]
) -> None:
    """Run a worker for all that the site knows until nothing waits.

    It sees what is committed: call it in a `TransactionTestCase`.

    Args:
        queues: only these; by default all that have a function, and those of TASKS.
        within: how many seconds it may take.
        options: of the worker.

    Raises:
        TimeoutError: jobs still wait after that time.
    """
    from pgqueue.django.worker import make_site_worker  # noqa: PLC0415  heavy

    worker = make_site_worker(queues, **options)
    raised: list[BaseException] = []

    async def drain() -> None:
        async with asyncio.timeout(within):
            await worker.serve(drain=True)

    def run() -> None:
        try:
            asyncio.run(drain())
        except BaseException as error:  # noqa: BLE001  it is raised in the caller
            raised.append(error)

    # The caller may be in a loop; a thread never is.
    thread = threading.Thread(target=run, name="pgqueue-test-worker")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
