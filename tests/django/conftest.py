"""A site whose database is migrated once, and empty for every test."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import namedtuple_row

from conftest import Cleaner, Sql
from django_site import set_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server import Server

set_up()


@pytest.fixture(scope="session")
def _site(pg_server: Server, worker_id: str) -> Iterator[tuple[str, Cleaner]]:
    from django.core.management import call_command  # noqa: PLC0415

    name = f"pgqueue_django_{pg_server.token}_{worker_id}"
    pg_server.drop(name)
    dsn = pg_server.create(name)
    set_up(dsn)
    call_command("migrate", verbosity=0)
    cleaner = Cleaner(dsn)
    yield dsn, cleaner
    cleaner.close()


@pytest.fixture
def site_dsn(_site: tuple[str, Cleaner]) -> str:
    return _site[0]


@pytest.fixture
def site(_site: tuple[str, Cleaner]) -> Iterator[Sql]:
    """The site's database with no job and no note in it, to be looked at directly."""
    from django.db import connections  # noqa: PLC0415

    dsn, cleaner = _site
    cleaner.clean()
    set_up(dsn)
    with psycopg.connect(dsn, autocommit=True, row_factory=namedtuple_row) as looking:
        looking.execute("TRUNCATE django_app_note, auth_user CASCADE")
        yield Sql(looking)
    connections.close_all()


@pytest.fixture
def work() -> Callable[..., None]:
    """Run a worker for all that the site knows until nothing waits."""
    from pgqueue.django.worker import make_site_worker  # noqa: PLC0415

    def run(*queues: str, **options: Any) -> None:
        async def drain() -> None:
            async with asyncio.timeout(100):
                await make_site_worker(queues, **options).serve(drain=True)

        asyncio.run(drain())

    return run
