"""`run_pending` with a worker of batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from isolated_handlers import batch_of_pids, batch_of_pids_async
from pgqueue import Batch, Queue, Worker
from pgqueue.testing import run_pending

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("handler", [batch_of_pids, batch_of_pids_async])
def test_run_pending_gives_a_handler_of_batches_one_job_at_a_time(
    dsn: str, queue: Queue, handler: Callable[[Any], Any]
) -> None:
    ids = [queue.add("x", n).id for n in range(2)]
    run_pending(Worker("work", handler, batch=Batch(5), dsn=dsn))
    assert [queue.get(one).result[1] for one in ids] == [1, 1]
