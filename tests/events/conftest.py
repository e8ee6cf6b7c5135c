"""Followers of the queue paint, closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from claims import HandWorker
from pgqueue import Queue, QueueEvents

NewFollower = Callable[..., QueueEvents]


FOLLOWED: list[str] = []
"""The database that this process's tests follow, from the first test on."""


@pytest.fixture(autouse=True)
def followed(dsn: str) -> None:
    FOLLOWED[:] = [dsn]


@pytest.fixture
def queue(dsn: str) -> Iterator[Queue]:
    with Queue("paint", dsn=dsn) as made:
        yield made


@pytest.fixture
def new_follower(dsn: str) -> Iterator[NewFollower]:
    """Subscribe a consumer and return it."""
    made: list[QueueEvents] = []

    def subscribe(consumer: str = "one", **options: Any) -> QueueEvents:
        made.append(QueueEvents("paint", consumer, dsn=dsn, **options))
        made[-1].subscribe()
        return made[-1]

    yield subscribe
    for one in made:
        one.close()


@pytest.fixture
def follower(new_follower: NewFollower) -> QueueEvents:
    return new_follower()


@pytest.fixture
def worker(dsn: str) -> Iterator[HandWorker]:
    made = HandWorker(dsn)
    yield made
    made.close()
