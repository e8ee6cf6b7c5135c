"""Where tests find a server: named, else in a container, else embedded."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from psycopg.conninfo import conninfo_to_dict

from pgqueue.testing import server as finding
from pgqueue.testing.server import Server, find_server

NAMED = "postgresql://127.0.0.1:1/named"


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Which of the servers there are, without starting one."""
    there = {"testcontainers": True, "embedded": True}

    def found(kind: str) -> Server | None:
        return Server("postgresql://127.0.0.1:1/x", kind) if there[kind] else None

    monkeypatch.setattr(finding, "_container", lambda _: found("testcontainers"))
    monkeypatch.setattr(finding, "_embedded", lambda _: found("embedded"))
    monkeypatch.delenv("PGQUEUE_TEST_DSN", raising=False)
    return there


def test_a_named_server_is_used_before_any_other(
    places: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGQUEUE_TEST_DSN", NAMED)
    server = find_server(ExitStack())
    assert places
    assert server.kind == "PGQUEUE_TEST_DSN"
    assert conninfo_to_dict(server.dsn) == conninfo_to_dict(NAMED)


def test_a_container_is_used_before_the_embedded_server(
    places: dict[str, bool],
) -> None:
    assert find_server(ExitStack()).kind == "testcontainers"
    places["testcontainers"] = False
    assert find_server(ExitStack()).kind == "embedded"


def test_an_engine_that_does_not_answer_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with ExitStack() as cleanup:
        assert finding._container(cleanup) is None
