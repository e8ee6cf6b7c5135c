"""docker-compose.yml: `make up`, an order over HTTP, `make down`."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from examples.shops import Browser, free_port
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Compose = Callable[..., str]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
PATIENCE = 120.0


def command() -> list[str]:
    """Return Compose: docker's own, or the program of that name."""
    plugin = ["docker", "compose"]
    if shutil.which("docker"):
        asked = subprocess.run(
            [*plugin, "version"], check=False, capture_output=True, text=True
        )
        if asked.returncode == 0:
            return plugin
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    pytest.skip("needs Docker Compose")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def compose(base: str, port: int) -> Iterator[Compose]:
    """Call Compose for a project of the test's own; its volume goes with it."""
    of_project = [*command(), "--project-name", f"pgqueue{secrets.token_hex(4)}"]
    env = os.environ | {
        "PYTHON_IMAGE": base,
        "SHOP_PORT": str(port),
        "POSTGRES_PORT": str(free_port()),
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*of_project, *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=env,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    yield run
    run("down", "--volumes")


def states(compose: Compose, engine: Any) -> dict[str, list[dict[str, Any]]]:
    """Return the states of the containers of each service."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in compose("ps", "--all", "--quiet").split():
        container = engine.containers.get(each)
        service = container.labels["com.docker.compose.service"]
        found.setdefault(service, []).append(container.attrs["State"])
    return found


def test_it_starts_a_shop_that_works_and_stops_cleanly(
    compose: Compose, engine: Any, port: int
) -> None:
    compose("up", "--build", "--detach")
    shop = Browser(port)
    until(shop.answers, PATIENCE)
    status, answer = shop.order(quantity=1)
    assert status == 201
    number = answer["order"]
    until(lambda: len(shop.look(number)["mail"]) == 2, PATIENCE)
    until(lambda: shop.look(number)["shipped_with"], PATIENCE)
    assert shop.order(quantity=1, card="declined")[0] == 402

    def healthy() -> bool:
        now = states(compose, engine)
        return all(
            one.get("Health", {}).get("Status") == "healthy"
            for service in ("postgres", "worker", "web")
            for one in now[service]
        )

    until(healthy, PATIENCE)
    assert len(states(compose, engine)["worker"]) == 2
    compose("stop")
    ended = states(compose, engine)
    for service in ("migrate", "prepare", "worker", "web"):
        assert [one["ExitCode"] for one in ended[service]] == [0] * len(ended[service])
