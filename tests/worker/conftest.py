"""A queue for each test of the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgqueue import Queue
from working import Facts

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def queue(dsn: str) -> Iterator[Queue]:
    with Queue("work", dsn=dsn) as queue:
        yield queue


@pytest.fixture
def facts() -> Iterator[Facts]:
    with Facts() as facts:
        yield facts
