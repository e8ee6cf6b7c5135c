"""A database before anything of the application is imported: `pgqueue_from_start`.

One server serves the whole run. The process that a person started finds it, and hands it
to xdist's workers, which inherit its environment; each makes a database of its own.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import psycopg
import pytest

from pgqueue import migrate
from pgqueue.testing.server import Server, find_server

if TYPE_CHECKING:
    from contextlib import ExitStack

HANDED: Final = "PGQUEUE_TEST_SERVER"
"""The variable by which xdist's workers are told where the server is."""


class Started(NamedTuple):
    server: Server
    dsn: str


def start(cleanup: ExitStack) -> Started:
    """Make a database, and let `PGQUEUE_DSN` name it until `cleanup` is closed."""
    environment = cleanup.enter_context(pytest.MonkeyPatch.context())
    # A worker of xdist knows itself only later; a pytest that a test runs is none.
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    handed = os.environ.get(HANDED) if is_worker else None
    if handed:
        server = Server.from_dict(json.loads(handed))
    else:
        server = find_server(cleanup)
        environment.setenv(HANDED, json.dumps(server.to_dict()))
    name = f"pgqueue_{server.token}_{secrets.token_hex(4)}"
    cleanup.callback(drop, server, name)
    dsn = server.create(name)
    migrate.upgrade(dsn)
    environment.setenv("PGQUEUE_DSN", dsn)
    return Started(server, dsn)


def drop(server: Server, name: str) -> None:
    # The server may have ended with the process that found it.
    with suppress(psycopg.OperationalError):
        server.drop(name)
