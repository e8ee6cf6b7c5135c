"""The shops of `examples/`: one order app in three stacks, and how each is started."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


@dataclass(frozen=True)
class Stack:
    """The commands of a shop, each for this Python; `{port}` is where it is to listen."""

    name: str
    prepare: tuple[str, ...]
    serve: str
    work: str

    def __str__(self) -> str:
        return self.name


STACKS = (
    Stack(
        "django_shop",
        prepare=("manage.py migrate",),
        serve="manage.py runserver --noreload 127.0.0.1:{port}",
        work="manage.py pgqueue worker",
    ),
    Stack(
        "flask_shop",
        prepare=(
            "-m flask --app shop pgqueue migrate",
            "-m flask --app shop prepare",
        ),
        serve="-m flask --app shop run --port {port}",
        work="-m flask --app shop pgqueue worker",
    ),
    Stack(
        "fastapi_shop",
        prepare=("-m pgqueue migrate", "-m shop.prepare"),
        serve="-m uvicorn shop.app:app --port {port}",
        work="-m pgqueue worker shop.jobs:worker",
    ),
)


class Browser:
    """Asks a shop over HTTP."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str, data: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Ask over HTTP."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            None if data is None else json.dumps(data).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read()
            return error.code, json.loads(text) if text.startswith(b"{") else None

    def answers(self) -> bool:
        try:
            return self.ask("/orders/0/")[0] == 404
        except OSError:  # nobody listens, or only the proxy of a container does
            return False

    def order(self, **what: Any) -> tuple[int, Any]:
        return self.ask("/orders/", {"product": "lamp", "card": "fine", **what})

    def look(self, order: int) -> Any:
        return self.ask(f"/orders/{order}/")[1]


class Shop(Browser):
    """A shop on a database of its own."""

    def __init__(self, stack: Stack, dsn: str, logs: Path) -> None:
        super().__init__(free_port())
        self.dsn = dsn
        self._stack = stack
        self._logs = logs
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DJANGO_", "FLASK_", "PGQUEUE_DSN"))
        }
        ours = {"DATABASE_URL": dsn, "PYTHONPATH": str(ROOT), "REMINDER_DELAY": "1"}
        self._how: dict[str, Any] = {
            "cwd": ROOT / "examples" / stack.name,
            "env": kept | ours,
        }

    def prepare(self) -> None:
        """Create the tables, and put three lamps on the shelf."""
        for command in self._stack.prepare:
            done = subprocess.run(
                [sys.executable, *command.split()],
                check=False,
                capture_output=True,
                text=True,
                timeout=100,
                **self._how,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        with psycopg.connect(self.dsn) as connection:
            connection.execute(
                "INSERT INTO shop_product (name, stock) VALUES ('lamp', 3)"
                " ON CONFLICT DO NOTHING"
            )

    @contextmanager
    def serving(self) -> Iterator[None]:
        with self._running(self._stack.serve.format(port=self.port), "server"):
            yield

    @contextmanager
    def working(self) -> Iterator[None]:
        with self._running(self._stack.work, "worker") as worker:
            yield
            worker.terminate()
            assert worker.wait(PATIENCE) == 0, self.log("worker")
            assert "Traceback" not in self.log("worker")

    @contextmanager
    def _running(self, command: str, what: str) -> Iterator[subprocess.Popen[bytes]]:
        with (
            (self._logs / what).open("wb") as log,
            subprocess.Popen(
                [sys.executable, *command.split()],
                stdout=log,
                stderr=subprocess.STDOUT,
                **self._how,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()

    def log(self, what: str) -> str:
        """What the server or the worker wrote."""
        return (self._logs / what).read_text("utf-8")

    def count(self, table: str) -> int:
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert row is not None
        return int(row[0])


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
