"""`isolation="process"`: children that a handler adds from its own process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from invariants import assert_consistent
from isolated_handlers import report_in_steps, report_in_steps_async
from pgqueue import Queue, Worker
from working import drain

if TYPE_CHECKING:
    from conftest import Sql


@pytest.mark.parametrize("how", ["wait", "raise"])
@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(report_in_steps, id="def"),
        pytest.param(report_in_steps_async, id="async def"),
    ],
)
async def test_a_handler_adds_children_waits_and_reads_them_from_its_process(
    dsn: str, queue: Queue, sql: Sql, handler: Any, how: str
) -> None:
    """Waiting uses no attempt up, in another process neither."""
    job = queue.add("report", how)
    queues = ["work", "pages"]
    worker = Worker(queues, handler, isolation="process", concurrency=2, dsn=dsn)
    await drain(worker, 60)
    stored = queue.get(job.id)
    assert (stored.state, stored.attempt) == ("completed", 1)
    result = stored.result
    assert (result["pages"], result["failures"]) == ([1, 2], ["bad page"])
    assert result["pid"] != os.getpid()
    with Queue("pages", dsn=dsn) as pages:
        ends = {job.data: job.state for job in pages.jobs()}
    assert ends == {1: "completed", 2: "completed", "bad": "failed"}
    assert_consistent(sql)
