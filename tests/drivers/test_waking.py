"""A worker that sleeps starts a job at the commit of its transaction, and not before."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from connections import (
    Alchemy,
    AlchemyAsyncSession,
    AlchemySession,
    Asyncpg,
    Django,
    FlaskSession,
    Kind,
    Psycopg,
    Psycopg2,
    PsycopgAsync,
    on,
)
from pgqueue import Queue, Worker
from waiting import SOON, until
from working import Facts

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = [
    *(Psycopg, PsycopgAsync, Psycopg2, Asyncpg, Django, FlaskSession),
    on(Alchemy, "psycopg"),
    on(AlchemySession, "psycopg2"),
    on(AlchemyAsyncSession, "asyncpg"),
]


class Started:
    """A handler that notes which jobs it was called with."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, job: Any) -> None:
        self.names.append(job.name)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest, dsn: str) -> Iterator[Kind]:
    made = request.param(dsn)
    yield made
    made.close()


@contextmanager
def asleep(dsn: str) -> Iterator[Started]:
    """Run a worker in a thread; it has found nothing, and waits for the bell."""
    started = Started()
    worker = Worker("paint", started, dsn=dsn)
    fact = "worker.sleeping" if worker.settings.listen else "worker.drained"
    with asyncio.Runner() as runner, Facts() as facts:
        loop = runner.get_loop()
        thread = threading.Thread(target=runner.run, args=(worker.serve(),))
        thread.start()
        try:
            until(lambda: facts.count(fact), 40)
            yield started
        finally:
            loop.call_soon_threadsafe(worker.stop)
            thread.join(60)
        assert not thread.is_alive()


def test_a_job_starts_at_the_commit_and_not_before(kind: Kind, dsn: str) -> None:
    queue = kind.queue()
    with asleep(dsn) as started:
        kind.begin()
        queue.add("gone", connection=kind.given)
        kind.rollback()
        kind.begin()
        queue.add("first", connection=kind.given)
        kind.commit()
        until(lambda: started.names == ["first"], SOON)
        kind.begin()
        queue.add("last", connection=kind.given)
        queue.add("beside it")
        until(lambda: started.names == ["first", "beside it"])
        kind.commit()
        until(lambda: started.names == ["first", "beside it", "last"], SOON)
    queue.close()


def test_a_job_that_a_trigger_could_add_starts_at_the_commit(dsn: str) -> None:
    with asleep(dsn) as started, psycopg.connect(dsn) as connection:
        connection.execute("SELECT pgqueue.add('paint', 'from SQL')")
        with Queue("paint", dsn=dsn) as queue:
            queue.add("beside it")
        until(lambda: started.names == ["beside it"])
        connection.commit()
        until(lambda: started.names == ["beside it", "from SQL"], SOON)
