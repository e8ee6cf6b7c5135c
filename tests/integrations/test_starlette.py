"""`pgqueue.fastapi` in a Starlette application, where FastAPI is not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
WITHOUT_FASTAPI = """
import asyncio, json, sys
sys.modules["fastapi"] = None  # as if it were not installed
import httpx
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route
from pgqueue import Worker
from pgqueue.errors import ConfigError
from pgqueue.fastapi import PgQueue, SessionQueue

async def handle(job):
    return f"receipt {job.data}"

async def place(request):
    async with AsyncSession(engine) as session:
        job = await SessionQueue("mail", session).add("receipt", 17)
        if request.query_params.get("paid") == "no":
            raise HTTPException(402)
        await session.commit()
    return JSONResponse(job.id)

async def wait(request):
    result = await jobs.queue("mail").result(request.path_params["id"], timeout=60)
    return JSONResponse(result)

engine = create_async_engine(sys.argv[1].replace("://", "+psycopg://", 1))
jobs = PgQueue(Worker("mail", handle))
routes = [Route("/orders", place, methods=["POST"]), Route("/receipts/{id:int}", wait)]
app = Starlette(routes=routes, lifespan=jobs.lifespan)

async def main():
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://a") as http,
    ):
        refused = await http.post("/orders?paid=no")
        none = await jobs.queue("mail").count()
        made = (await http.post("/orders")).json()
        result = (await http.get(f"/receipts/{made}")).json()
    await engine.dispose()
    try:
        jobs.depends("mail")
    except ConfigError as error:
        said = str(error)
    print(json.dumps([refused.status_code, none, result, said]))

asyncio.run(main())
"""


def test_the_lifespan_and_queues_work_without_fastapi(dsn: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_FASTAPI, dsn],
        env=os.environ | {"PYTHONPATH": str(TESTS.parent), "PGQUEUE_DSN": dsn},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *answers, said = json.loads(done.stdout)
    assert answers == [402, 0, "receipt 17"]
    assert said.startswith("depends() needs FastAPI; run: pip install")
