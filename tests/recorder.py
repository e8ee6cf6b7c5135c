"""A worker process whose handler writes when it ran, by the database's clock."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import uuid
from contextlib import suppress
from typing import Any

import psycopg

from pgqueue import Worker


async def main(dsn: str, takes: float, options: dict[str, Any]) -> None:
    connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
    lock = asyncio.Lock()

    async def write(query: str, params: list[Any]) -> None:
        async with lock:
            await connection.execute(query, params)

    async def record(job: Any) -> None:
        run = uuid.uuid4()
        await write(
            "INSERT INTO public.run (run, claimed, of) VALUES (%s, %s, %s)",
            [run, job.claimed_epoch, job.group],
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(takes):
                await asyncio.Event().wait()
        await write(
            "UPDATE public.run SET ended = date_part('epoch', clock_timestamp())"
            " WHERE run = %s",
            [run],
        )

    await Worker("work", record, dsn=dsn, **options).serve()


if __name__ == "__main__":
    logging.disable()
    asyncio.run(main(**json.loads(sys.argv[1])))
