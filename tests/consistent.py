"""Fixtures of tests with workers: a queue that is consistent at the end, and facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from invariants import assert_consistent
from pgqueue import Queue
from working import Facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Sql


@pytest.fixture
def queue(dsn: str, sql: Sql) -> Iterator[Queue]:
    with Queue("work", dsn=dsn) as queue:
        yield queue
    assert_consistent(sql)


@pytest.fixture
def facts() -> Iterator[Facts]:
    with Facts() as facts:
        yield facts
