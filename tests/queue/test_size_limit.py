"""How large the data of one job may be: what it says itself, else what its queue says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import ConfigError, FlowNode, NewJob, PayloadError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgqueue import FlowProducer, Queue
    from shells import Shells

DATA = {"text": "ä" * 20}
SIZE = len('{"text":""}') + 2 * 20

ADDS: dict[str, Callable[[Queue, FlowProducer, dict[str, Any]], Any]] = {
    "add": lambda queue, _, options: queue.add("n", DATA, **options),
    "add_bulk": lambda queue, _, options: queue.add_bulk(
        [NewJob("n", DATA, **options)]
    ),
    "flow": lambda queue, flows, options: flows.add(
        FlowNode(
            "n",
            queue=queue.name,
            children=[FlowNode("n", DATA, queue=queue.name, **options)],
        )
    ),
    "schedule": lambda queue, _, options: queue.upsert_schedule(
        "s", every=60, data=DATA, **options
    ),
}


@pytest.mark.parametrize("how", ADDS)
@pytest.mark.parametrize("of_queue", [SIZE - 1, SIZE, 2**20])
def test_the_limit_of_a_job_counts_and_else_that_of_its_queue(
    shells: Shells, how: str, of_queue: int
) -> None:
    queue = shells.queue(size_limit=of_queue)
    flows = shells.flows(size_limit=of_queue)
    for of_job in (SIZE - 1, None):
        if of_job is None and of_queue >= SIZE:
            continue
        options = {} if of_job is None else {"size_limit": of_job}
        with pytest.raises(PayloadError, match=f"over the limit of {SIZE - 1}"):
            ADDS[how](queue, flows, options)
    assert queue.counts().total == 0
    ADDS[how](queue, flows, {"size_limit": SIZE})
    assert queue.counts().total > 0


def test_a_function_that_is_a_job_has_one_too(shells: Shells) -> None:
    queue = shells.queue()

    @queue.job(size_limit=20)
    def paint(text: str) -> None: ...

    with pytest.raises(PayloadError, match="limit of 20"):
        shells.run(paint.add("x" * 20))
    assert shells.run(paint.using(size_limit=50).add("x" * 20)).data


@pytest.mark.parametrize("wrong", [0, -1, 2**31, 1.5, "1", True])
def test_a_limit_that_is_none_is_refused(queue: Queue, wrong: Any) -> None:
    for call in (
        lambda: queue.add("n", size_limit=wrong),
        lambda: queue.add_bulk([NewJob("n", size_limit=wrong)]),
        lambda: queue.upsert_schedule("s", every=60, size_limit=wrong),
    ):
        with pytest.raises(ConfigError, match=r"^size_limit="):
            call()
