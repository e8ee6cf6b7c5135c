"""`job.transaction(connection=…)` on every kind of connection that a queue takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
import psycopg2
import pytest
import sqlalchemy as sa
from django.db import transaction
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.ext import asyncio as sa_async
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from connections import (
    KINDS,
    AlchemyAsync,
    Django,
    DjangoAlias,
    Kind,
    SqlModelAsync,
    url_of,
)
from effects import write
from patience import drain, until_async
from pgqueue import ConfigError, Queue, Worker, current_job
from working import Heard

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sql
    from effects import Effects

every = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


class Base(DeclarativeBase):
    pass


class Effect(Base):
    """A row that a session inserts at its flush."""

    __tablename__ = "effect"
    __table_args__ = {"schema": "public"}  # noqa: RUF012

    job: Mapped[int] = mapped_column(primary_key=True)


def in_block(
    dsn: str, kind: type[Kind], body: Callable[[Any], object] = lambda _job: None
) -> Callable[[Any], None]:
    """Return a `def` handler that writes on such a connection, then does *body*."""

    def handler(job: Any) -> None:
        made = kind(dsn)
        try:
            if made.asynchronous:
                made.wait(awaiting(job, made))  # type: ignore[attr-defined]
            else:
                with job.transaction(connection=made.given) as given:
                    assert given is made.given
                    made.execute(write(job.id))
                    body(job)
        finally:
            made.close()

    async def awaiting(job: Any, made: Kind) -> None:
        async with job.transaction(connection=made.given) as given:
            text: Any = write(job.id)
            through = given
            if isinstance(made, SqlModelAsync):
                # SQLModel's own `execute` is deprecated.
                through = await given.connection()
            await through.execute(
                sa.text(text) if isinstance(made, AlchemyAsync) else text
            )
            body(job)

    return handler


@every
async def test_a_commit_shows_both(
    dsn: str, queue: Queue, sql: Sql, effects: Effects, kind: type[Kind]
) -> None:
    job = queue.add("n")
    body = in_block(dsn, kind, lambda job: job.complete([job.id]))
    worker = Worker("work", body, dsn=dsn)
    heard = Heard(worker, "completed", "failed", "error", "lease_lost")
    await drain(worker)
    assert heard.names() == ["completed"]
    assert effects.counts() == {job.id: 1}
    assert queue.get(job.id).result == [job.id]
    transactions = sql.all(
        "SELECT f.xmin::text FROM pgqueue.finished f"
        " UNION SELECT e.xmin::text FROM public.effect e"
    )
    assert len(transactions) == 1


@every
async def test_an_exception_takes_back_both_and_fails_the_attempt(
    dsn: str, queue: Queue, effects: Effects, kind: type[Kind]
) -> None:
    def body(_job: Any) -> None:
        raise ValueError("on purpose")

    job = queue.add("n")
    await drain(Worker("work", in_block(dsn, kind, body), dsn=dsn))
    assert queue.get(job.id).error == "on purpose"
    assert not effects.counts()


@every
async def test_a_lost_lease_takes_back_the_writes(
    dsn: str, queue: Queue, sql: Sql, effects: Effects, kind: type[Kind]
) -> None:
    def lose(job: Any) -> None:
        sql.run("DELETE FROM pgqueue.lease")
        sql.run("DELETE FROM pgqueue.job WHERE id = %s", [job.id])

    worker = Worker("work", in_block(dsn, kind, lose), dsn=dsn)
    heard = Heard(worker, "completed", "failed", "lease_lost")
    async with worker:
        queue.add("n")
        await until_async(lambda: heard.of("lease_lost"))
    assert heard.names() == ["lease_lost"]
    assert not effects.counts()


@every
async def test_a_commit_that_is_refused_fails_the_attempt_for_certain(
    dsn: str, queue: Queue, effects: Effects, kind: type[Kind]
) -> None:
    effects.refuse_at_commit()
    job = queue.add("n")
    completions: list[object] = []

    def watched(job: Any) -> None:
        try:
            in_block(dsn, kind)(job)
        finally:
            completions.append(job.completion)

    worker = Worker("work", watched, dsn=dsn)
    heard = Heard(worker, "completed", "failed", "error", "lease_lost")
    await drain(worker)
    assert heard.names() == ["failed"]
    assert completions == [None]
    assert queue.get(job.id).state == "failed"
    assert not effects.counts()


async def test_what_a_session_has_not_flushed_yet_is_written_too(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    engine = sa.create_engine(url_of(dsn, "psycopg"))

    def handler(job: Any) -> None:
        with Session(engine) as session, job.transaction(connection=session):
            session.add(Effect(job=job.id))

    job = queue.add("n")
    await drain(Worker("work", handler, dsn=dsn))
    engine.dispose()
    assert queue.get(job.id).state == "completed"
    assert effects.counts() == {job.id: 1}


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
async def test_an_async_session_commits_both_on_the_workers_loop(
    dsn: str, queue: Queue, effects: Effects, driver: str
) -> None:
    engine = sa_async.create_async_engine(url_of(dsn, driver))

    async def handler(job: Any) -> None:
        async with (
            sa_async.AsyncSession(engine) as session,
            job.transaction(connection=session),
        ):
            session.add(Effect(job=job.id))

    jobs = [queue.add("n") for _ in range(20)]
    await drain(Worker("work", handler, dsn=dsn))
    await engine.dispose()
    assert {queue.get(job.id).state for job in jobs} == {"completed"}
    assert effects.counts() == {job.id: 1 for job in jobs}


async def test_what_a_session_read_before_the_block_is_the_same_transaction(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    engine = sa.create_engine(url_of(dsn, "psycopg"))

    def handler(job: Any) -> None:
        with Session(engine) as session:
            session.execute(sa.text(write(job.id)))
            with job.transaction(connection=session):
                session.execute(sa.text(write(job.id)))

    job = queue.add("n")
    await drain(Worker("work", handler, dsn=dsn))
    engine.dispose()
    assert effects.counts() == {job.id: 2}


async def test_a_block_around_the_sessions_own_is_noticed_and_one_inside_it_works(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    engine = sa.create_engine(url_of(dsn, "psycopg"))

    def handler(job: Any) -> None:
        with Session(engine) as session:
            if job.data == "inside":
                with session.begin(), job.transaction(connection=session):
                    session.execute(sa.text(write(job.id)))
            else:
                with job.transaction(connection=session):
                    session.execute(sa.text(write(job.id)))
                    session.commit()

    inside = queue.add("n", "inside")
    around = queue.add("n", "around")
    await drain(Worker("work", handler, dsn=dsn))
    engine.dispose()
    assert queue.get(inside.id).state == "completed"
    assert effects.of(inside.id) == 1
    assert "inside its block" in (queue.get(around.id).error or "")


def psycopg_block(dsn: str, job: Any) -> None:
    with (
        psycopg.connect(dsn, autocommit=True) as mine,
        mine.transaction(),
        job.transaction(connection=mine),
    ):
        mine.execute(write(job.id))


def psycopg_manual_block(dsn: str, job: Any) -> None:
    with (
        psycopg.connect(dsn) as mine,
        mine.transaction(),
        job.transaction(connection=mine),
    ):
        mine.execute(write(job.id))


def psycopg2_block(dsn: str, job: Any) -> None:
    mine = psycopg2.connect(dsn)
    mine.autocommit = True
    try:
        mine.cursor().execute("BEGIN")
        with job.transaction(connection=mine):
            mine.cursor().execute(write(job.id))
    finally:
        mine.close()


def asyncpg_block(dsn: str, job: Any) -> None:
    async def run() -> None:
        parts = conninfo_to_dict(dsn)
        parts["database"] = parts.pop("dbname")
        mine = await asyncpg.connect(**parts)
        try:
            async with mine.transaction(), job.transaction(connection=mine):
                await mine.execute(write(job.id))
        finally:
            await mine.close()

    asyncio.run(run())


def savepoint_block(dsn: str, job: Any) -> None:
    engine = sa.create_engine(url_of(dsn, "psycopg"))
    try:
        with (
            Session(engine) as session,
            session.begin_nested(),
            job.transaction(connection=session),
        ):
            session.execute(sa.text(write(job.id)))
    finally:
        engine.dispose()


def bound_block(dsn: str, job: Any) -> None:
    engine = sa.create_engine(url_of(dsn, "psycopg"))
    try:
        with (
            engine.connect() as mine,
            mine.begin(),
            Session(mine) as session,
            job.transaction(connection=session),
        ):
            session.execute(sa.text(write(job.id)))
    finally:
        engine.dispose()


def alchemy_autocommit(dsn: str, job: Any) -> None:
    engine = sa.create_engine(url_of(dsn, "psycopg"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as mine, job.transaction(connection=mine):
            mine.execute(sa.text(write(job.id)))
    finally:
        engine.dispose()


def django_block(dsn: str, job: Any) -> None:
    made = Django(dsn)
    try:
        with (
            transaction.atomic(made.alias),
            job.transaction(connection=made.alias),
        ):
            made.execute(write(job.id))
    finally:
        made.close()


@pytest.mark.parametrize(
    "block",
    [
        psycopg_block,
        psycopg_manual_block,
        psycopg2_block,
        asyncpg_block,
        savepoint_block,
        bound_block,
        alchemy_autocommit,
        django_block,
    ],
    ids=lambda block: block.__name__,
)
async def test_a_transaction_that_is_not_the_blocks_to_end_is_refused(
    dsn: str, queue: Queue, effects: Effects, block: Callable[[str, Any], None]
) -> None:
    refused: list[ConfigError] = []

    def handler(job: Any) -> None:
        try:
            block(dsn, job)
        except ConfigError as error:
            refused.append(error)
            raise

    job = queue.add("n")
    await drain(Worker("work", handler, dsn=dsn))
    assert refused
    assert "connection=" in (queue.get(job.id).error or "")
    assert not effects.counts()


async def test_a_psycopg2_connection_that_commits_by_itself_is_begun_and_ended(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    def handler(job: Any) -> None:
        mine = psycopg2.connect(dsn)
        mine.autocommit = True
        try:
            with job.transaction(connection=mine), mine.cursor() as cursor:
                cursor.execute(write(job.id))
                if job.data == "fail":
                    raise ValueError("on purpose")
            assert mine.get_transaction_status() == 0
        finally:
            mine.close()

    good, bad = queue.add("n"), queue.add("n", "fail")
    await drain(Worker("work", handler, dsn=dsn))
    assert effects.counts() == {good.id: 1}
    assert queue.get(bad.id).state == "failed"


async def test_an_error_in_djangos_own_block_inside_is_caught_as_ever(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    """A savepoint of the handler's, by a nested `atomic()`, takes back its own part."""

    def handler(job: Any) -> None:
        made = DjangoAlias(dsn)
        try:
            with job.transaction(connection=made.alias):
                made.execute(write(job.id))
                made.undo(lambda: made.execute(write(job.id)))
        finally:
            made.close()

    job = queue.add("n")
    await drain(Worker("work", handler, dsn=dsn))
    assert effects.counts() == {job.id: 1}


async def test_the_block_of_an_engine_ends_with_it(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    engine = sa.create_engine(url_of(dsn, "psycopg"))

    def handler(job: Any) -> None:
        with engine.begin() as mine, job.transaction(connection=mine):
            mine.execute(sa.text(write(job.id)))
            if job.data == "raise":
                raise ValueError("on purpose")

    good, bad = queue.add("n"), queue.add("n", "raise")
    await drain(Worker("work", handler, dsn=dsn))
    engine.dispose()
    assert queue.get(good.id).state == "completed"
    assert queue.get(bad.id).error == "on purpose"
    assert effects.counts() == {good.id: 1}


@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize("refused", [True, False])
async def test_in_a_pipeline_the_block_waits_for_the_commit(
    dsn: str, queue: Queue, effects: Effects, autocommit: bool, refused: bool
) -> None:
    if refused:
        effects.refuse_at_commit()

    def handler(job: Any) -> None:
        with (
            psycopg.connect(dsn, autocommit=autocommit) as mine,
            mine.pipeline(),
            job.transaction(connection=mine),
        ):
            mine.execute(write(job.id))

    job = queue.add("n")
    worker = Worker("work", handler, dsn=dsn)
    heard = Heard(worker, "completed", "failed", "error", "lease_lost")
    await drain(worker)
    assert heard.names() == ["failed" if refused else "completed"]
    assert effects.of(job.id) == (not refused)
    assert queue.get(job.id).state == heard.names()[0]


async def test_a_function_that_is_a_job_has_it_through_current_job(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    @queue.job()
    def pay(amount: int) -> int:
        job = current_job()
        with job.transaction() as connection:
            connection.execute(write(job.id))  # type: ignore[arg-type]
            job.complete(amount)
        return amount

    job = pay.add(5)
    worker = Worker("work", dsn=dsn)
    worker.register(pay)
    heard = Heard(worker, "completed", "failed", "error")
    await drain(worker)
    assert heard.names() == ["completed"]
    assert queue.get(job.id).result == 5
    assert effects.counts() == {job.id: 1}
