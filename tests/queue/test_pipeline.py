"""In a caller's pipeline a call waits for its own answer, and no more."""

from __future__ import annotations

import psycopg

from pgqueue import AsyncQueue, Queue


def test_every_call_works_in_a_pipeline(dsn: str) -> None:
    queue = Queue("work", dsn=dsn)
    with psycopg.connect(dsn) as connection, connection.pipeline():
        job = queue.add("x", {"n": 1}, connection=connection)
        queue.pause(connection=connection)
        assert queue.get(job.id, connection=connection).data == {"n": 1}
        assert queue.is_paused(connection=connection)
    assert queue.get(job.id).state == "waiting"
    queue.close()


async def test_every_call_works_in_an_async_pipeline(dsn: str) -> None:
    async with (
        AsyncQueue("work", dsn=dsn) as queue,
        await psycopg.AsyncConnection.connect(dsn) as connection,
    ):
        async with connection.pipeline():
            job = await queue.add("x", connection=connection)
            await queue.pause(connection=connection)
            assert (await queue.get(job.id, connection=connection)).id == job.id
        await connection.rollback()
        assert await queue.count() == 0
