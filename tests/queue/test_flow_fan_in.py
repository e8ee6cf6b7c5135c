"""Children of one parent end beside each other: none waits for the parent's row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from invariants import assert_consistent
from pgqueue import FlowNode

if TYPE_CHECKING:
    from collections.abc import Callable

    from claims import HandWorker
    from conftest import Sql
    from shells import Shells

ENDS: dict[str, Callable[[HandWorker, Any], Any]] = {
    "completed": lambda worker, jobs: worker.finish(jobs),
    "failed": lambda worker, jobs: worker.fail(jobs),
    "removed": lambda worker, jobs: worker.finish(jobs, "removed", ended="completed"),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("begun", ENDS)
def test_a_child_ends_while_the_end_of_another_is_not_yet_committed(
    shells: Shells,
    new_worker: Callable[..., HandWorker],
    sql: Sql,
    begun: str,
    end: str,
) -> None:
    """Ten thousand children on many workers would otherwise end one by one."""
    queue, flows = shells.queue("paint"), shells.flows()
    children = [
        FlowNode("page", queue="pages", on_child_failure="ignore") for _ in range(3)
    ]
    added = flows.add(FlowNode("report", queue="paint", children=children))
    slow, quick = new_worker("pages"), new_worker("pages")
    first, second = slow.claim(), quick.claim()
    quick.connection.execute("SET lock_timeout = '5s'")
    with slow.connection.transaction():
        # With the look at the parent, which comes in a transaction of its own.
        ENDS[begun](slow, first)
        ENDS[end](quick, second)
    assert queue.get(added.job.id).state == "waiting_children"
    quick.finish(quick.claim())
    assert queue.get(added.job.id).state == "waiting"
    assert_consistent(sql)
