"""`pgqueue health`, as a container's health check calls it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from pgqueue import Worker
from waiting import until_async

if TYPE_CHECKING:
    from cli.conftest import Cli
    from conftest import Sql


async def test_a_worker_that_renews_its_leases_is_well(
    cli: Cli, dsn: str, sql: Sql
) -> None:
    async with Worker("paint", print, dsn=dsn):
        await until_async(lambda: sql.all("SELECT FROM pgqueue.worker"), 30)
        done = cli("health")
    assert done.code == 0
    assert done.out == f"{socket.gethostname()}: 1 of 1 workers are well\n"


async def test_a_worker_that_stopped_renewing_is_not(
    cli: Cli, dsn: str, sql: Sql
) -> None:
    async with Worker("paint", print, dsn=dsn):
        await until_async(lambda: sql.all("SELECT FROM pgqueue.worker"), 30)
        sql.run(
            "INSERT INTO pgqueue.worker"
            " SELECT (jsonb_populate_record(w, %s)).* FROM pgqueue.worker w",
            ['{"id": 999, "host": "stuck", "heartbeat_at": "2020-01-01"}'],
        )
        refused = cli("health", "--host", "stuck")
    assert "none of its 1 workers renews its leases" in refused.complaint


def test_a_host_without_a_worker_is_not_well(cli: Cli) -> None:
    assert "elsewhere: no worker" in cli("health", "--host", "elsewhere").complaint
