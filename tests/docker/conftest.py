"""The image of the Dockerfile, built and run by a real engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server import Server

    Run = Callable[..., Any]

ROOT = Path(__file__).parents[2]
BASE = os.environ.get("PYTHON_IMAGE", "python:3.13-slim")


@pytest.fixture(scope="session")
def engine(pg_server: Server) -> Iterator[Any]:
    """The Docker engine that the test server runs in."""
    if pg_server.kind != "testcontainers":
        pytest.skip("no Docker engine answered: `make test-docker` needs one")
    import docker  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415

    client = docker.from_env(timeout=600)
    yield client
    client.close()


@pytest.fixture(scope="session")
def base(engine: Any) -> str:
    """The image that the Dockerfile begins with: PYTHON_IMAGE, or the usual one."""
    from docker.errors import DockerException  # noqa: PLC0415

    try:
        engine.images.get(BASE)
    except DockerException:
        try:
            engine.images.pull(BASE)
        except DockerException as error:
            pytest.skip(f"this engine cannot pull {BASE}; set PYTHON_IMAGE: {error}")
    return BASE


@pytest.fixture(scope="session")
def image(engine: Any, base: str) -> str:
    """The image of the Dockerfile."""
    built, _ = engine.images.build(
        path=str(ROOT), buildargs={"PYTHON_IMAGE": base}, rm=True
    )
    return str(built.id)


@pytest.fixture
def container(engine: Any, image: str, dsn: str) -> Iterator[Run]:
    """Start containers of the image on the test's database; they go with the test."""
    started = []

    def run(*command: str, **env: str) -> Any:
        made = engine.containers.run(
            image,
            list(command) or None,
            environment={"PGQUEUE_DSN": dsn, **env},
            network_mode="host",
            detach=True,
        )
        started.append(made)
        return made

    yield run
    for each in started:
        each.remove(force=True)
