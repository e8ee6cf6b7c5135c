"""A queue, and the test's own connection to it, whose transaction is never committed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgqueue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def queue(dsn: str) -> Iterator[Queue]:
    with Queue("mail", dsn=dsn) as made:
        yield made


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn) as made:
        yield made
        made.rollback()
