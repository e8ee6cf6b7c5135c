"""`pgqueue.fastapi`: queues in the request's session, workers in the lifespan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from pgqueue import NewJob, Queue, Worker
from pgqueue.errors import ConfigError, SchemaError
from pgqueue.fastapi import PgQueue, SessionQueue
from pgqueue.testing import aassert_added, aassert_nothing_added
from pgqueue.testing.guarding import only
from server import with_database
from waiting import until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Sql

JOBS = "SELECT count(*) FROM pgqueue.jobs"


class Api:
    """An application with one route that adds, called without a network."""

    def __init__(self, dsn: str, *workers: Worker) -> None:
        url = dsn.replace("://", "+psycopg://", 1)
        self.engine = create_async_engine(url, poolclass=NullPool)
        self.jobs = PgQueue(*workers, dsn=dsn)
        self.app = FastAPI(lifespan=self.jobs.lifespan)

        async def get_session() -> AsyncIterator[AsyncSession]:
            async with AsyncSession(self.engine) as session:
                yield session

        in_session = self.jobs.depends("mail", get_session)
        plain = self.jobs.depends("mail")

        async def place(
            session: Any = Depends(get_session),  # noqa: B008
            mail: Any = Depends(in_session),  # noqa: B008
            paid: bool = True,
        ) -> dict[str, int]:
            job = await mail.add("receipt", {"order": 17})
            await mail.add_bulk(NewJob("page", n) for n in range(2000))
            if not paid:
                raise HTTPException(402)
            await session.commit()
            return {"job": job.id}

        async def ask(mail: Any = Depends(plain)) -> int:  # noqa: B008
            job = await mail.add("plain")
            return int(job.id)

        self.app.post("/orders", status_code=201)(place)
        self.app.post("/plain")(ask)

    async def post(self, path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as http:
            return await http.post(path)


async def test_a_job_commits_with_the_session_of_its_request(
    dsn: str, sql: Sql
) -> None:
    api = Api(dsn)
    async with api.app.router.lifespan_context(api.app):
        answer = await api.post("/orders")
        assert (answer.status_code, answer.json()) == (201, {"job": 1})
        await aassert_added("receipt", data={"order": 17}, count=1, dsn=dsn)
        assert sql.value(JOBS) == 2001


async def test_a_request_that_fails_adds_nothing(dsn: str, sql: Sql) -> None:
    api = Api(dsn)
    async with api.app.router.lifespan_context(api.app):
        assert (await api.post("/orders?paid=false")).status_code == 402
        await aassert_nothing_added(dsn=dsn)


async def test_a_queue_without_a_session_commits_at_once(dsn: str, sql: Sql) -> None:
    api = Api(dsn)
    async with api.app.router.lifespan_context(api.app):
        assert (await api.post("/plain")).json() == 1
        assert sql.value(JOBS) == 1


async def test_a_worker_runs_and_the_pools_close_with_the_application(
    dsn: str, sql: Sql
) -> None:
    async def handle(job: Any) -> str:
        return f"{job.name} is done"

    api = Api(dsn, Worker("mail", handle, dsn=dsn))
    async with api.app.router.lifespan_context(api.app):
        await api.post("/plain")
        done = f"{JOBS} WHERE state = 'completed'"
        await until_async(lambda: sql.value(done) == 1, 60)
    mine = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'pgqueue%%' AND pid <> pg_backend_pid()"
    )
    await until_async(lambda: sql.value(mine.replace("%%", "%")) == 0, 60)
    with Queue("mail", dsn=dsn) as queue:
        assert queue.get(1).result == "plain is done"


async def test_a_session_queue_joins_the_transaction_and_leaves_it_open(
    dsn: str, sql: Sql
) -> None:
    api = Api(dsn)
    async with AsyncSession(api.engine) as session:
        mail = SessionQueue("mail", session, dsn=dsn)
        await mail.add("kept")
        savepoint = await session.begin_nested()
        await mail.add("gone")
        await savepoint.rollback()
        assert sql.value(JOBS) == 0
        assert await mail.count() == 1
        await session.commit()
    assert [job.name for job in sql.all("SELECT name FROM pgqueue.jobs")] == ["kept"]


async def test_helpers_refuse_a_session_that_is_not_in_the_tests_database(
    dsn: str,
) -> None:
    async with AsyncSession(Api(dsn).engine) as session:
        # Where the session is counts, not what the queue was told.
        elsewhere = with_database(dsn, "elsewhere")
        mail = SessionQueue("mail", session, dsn=elsewhere)
        with only(elsewhere), pytest.raises(ConfigError, match="where the session is"):
            await aassert_nothing_added(queue=mail)
        with only(dsn):
            await aassert_nothing_added(queue=mail)


@pytest.mark.parametrize("given", ["marker", "annotation"])
async def test_the_session_of_a_route_is_the_queues_whatever_its_scope_is(
    dsn: str, sql: Sql, given: str
) -> None:
    """FastAPI makes another one for the same function with another scope."""
    api = Api(dsn)

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(api.engine) as session:
            yield session

    scoped = Depends(get_session, scope="function")
    asked: Any = scoped if given == "marker" else Annotated[AsyncSession, scoped]
    in_session = api.jobs.depends("mail", asked)

    async def place(
        session: Any = scoped,
        mail: Any = Depends(in_session),  # noqa: B008
    ) -> None:
        await mail.add("receipt")
        await session.commit()

    api.app.post("/scoped")(place)
    async with api.app.router.lifespan_context(api.app):
        assert (await api.post("/scoped")).status_code == 200
    assert sql.value(JOBS) == 1


def test_what_gives_no_session_is_refused(dsn: str) -> None:
    wrong: Any
    for wrong in ("session", 5, Annotated[str, "session"]):
        with pytest.raises(ConfigError, match=r"session takes .*Depends"):
            PgQueue(dsn=dsn).depends("mail", wrong)


def test_a_bad_name_is_refused_when_the_application_is_made(dsn: str) -> None:
    with pytest.raises(ConfigError, match="queue name"):
        PgQueue(dsn=dsn).depends("")


async def test_an_application_whose_worker_cannot_start_does_not_start(
    fresh_database: str,
) -> None:
    async def handle(_job: Any) -> None: ...

    api = Api(fresh_database, Worker("mail", handle, dsn=fresh_database))
    with pytest.raises(SchemaError, match="run: pgqueue migrate"):
        async with api.jobs.lifespan(api.app):
            pytest.fail("it started")
    await api.engine.dispose()


def test_what_the_queues_of_an_application_take_is_said_at_once() -> None:
    wrong: Any
    for wrong in ("mail", print, Worker):
        with pytest.raises(ConfigError, match=r"takes Workers: PgQueue\(Worker\("):
            PgQueue(wrong)
