"""Parents that are not kept, and children added to them from outside while they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from claims import HandWorker
from pgqueue import Queue, Worker
from working import drain

if TYPE_CHECKING:
    from conftest import Sql


@pytest.mark.parametrize("result", [None, 1])
async def test_a_job_that_is_not_kept_leaves_children_from_outside_on_their_own(
    dsn: str, queue: Queue, sql: Sql, result: Any
) -> None:
    parent = queue.add("report", remove_on_complete=True)

    def handler(job: Any) -> Any:
        if job.id == parent.id:
            with Queue("pages", dsn=dsn) as pages:
                pages.add("page", parent=parent)
        return result

    await drain(Worker("work", handler, dsn=dsn))
    assert sql.all("SELECT * FROM pgqueue.dependency") == []
    await drain(Worker("pages", handler, dsn=dsn))
    assert sql.all("SELECT * FROM pgqueue.settled") == []


@pytest.mark.parametrize("first", ["parent", "child"])
@pytest.mark.parametrize("ended", ["completed", "failed"])
def test_a_job_that_is_not_kept_may_end_in_one_statement_with_its_child(
    dsn: str, queue: Queue, sql: Sql, first: str, ended: str
) -> None:
    parent = queue.add("report")
    worker = HandWorker(dsn, "work")
    try:
        claimed = worker.claim()
        queue.add("page", parent=parent, on_child_failure="ignore")
        claimed += worker.claim()
        if first == "child":
            claimed.reverse()
        finished = worker.finish(claimed, "removed", ended=ended, result=1)
    finally:
        worker.close()
    assert sorted(finished) == sorted(job.id for job in claimed)
    assert sql.all("SELECT * FROM pgqueue.dependency") == []
    assert sql.all("SELECT * FROM pgqueue.settled") == []
