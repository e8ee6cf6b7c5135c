"""Queues to test on: every test runs on a `Queue` and on an `AsyncQueue`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from claims import HandWorker
from shells import Shells

if TYPE_CHECKING:
    from pgqueue import Queue

NewWorker = Callable[..., HandWorker]


@pytest.fixture(params=["Queue", "AsyncQueue"])
def shells(request: pytest.FixtureRequest, dsn: str) -> Iterator[Shells]:
    made = Shells(dsn, asynchronous=request.param == "AsyncQueue")
    yield made
    made.close()


@pytest.fixture
def queue(shells: Shells) -> Queue:
    """A queue called paint."""
    return shells.queue("paint")


@pytest.fixture
def new_worker(dsn: str) -> Iterator[NewWorker]:
    """Start workers that a test plays by hand."""
    made: list[HandWorker] = []

    def start(queue: str = "paint", **options: Any) -> HandWorker:
        made.append(HandWorker(dsn, queue, **options))
        return made[-1]

    yield start
    for worker in made:
        worker.close()


@pytest.fixture
def worker(new_worker: NewWorker) -> HandWorker:
    """A worker of the queue paint."""
    return new_worker()
