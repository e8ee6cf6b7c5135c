"""`examples/django_shop`, driven over HTTP, with a worker process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "django_shop"
PATIENCE = 60.0


def environment(dsn: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DJANGO_")}
    ours = {"DATABASE_URL": dsn, "PYTHONPATH": str(ROOT), "REMINDER_DELAY": "1"}
    return kept | ours


def manage(dsn: str, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", *arguments],
        check=True,
        capture_output=True,
        cwd=SHOP,
        env=environment(dsn),
        timeout=100,
    )


@contextmanager
def running(dsn: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Keep a command of the shop running."""
    with subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=SHOP,
        env=environment(dsn),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Browser:
    """Asks the shop over HTTP."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    def ask(self, path: str, data: dict[str, Any] | None = None) -> tuple[int, Any]:
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(self._base + path, body)  # noqa: S310  ours
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
        except urllib.error.URLError:
            return False

    def order(self, **what: Any) -> tuple[int, Any]:
        return self.ask("/orders/", {"product": "lamp", "card": "fine", **what})

    def look(self, order: int) -> Any:
        return self.ask(f"/orders/{order}/")[1]


@pytest.fixture
def shop(fresh_database: str) -> Iterator[tuple[Browser, str]]:
    """A shop with three lamps, and nobody to work for it."""
    manage(fresh_database, "migrate")
    with psycopg.connect(fresh_database) as connection:
        connection.execute("INSERT INTO shop_product (name, stock) VALUES ('lamp', 3)")
    port = free_port()
    with running(fresh_database, "runserver", "--noreload", f"127.0.0.1:{port}"):
        browser = Browser(port)
        until(browser.answers, PATIENCE)
        yield browser, fresh_database


def count(dsn: str, table: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def test_an_order_and_what_follows_from_it(shop: tuple[Browser, str]) -> None:
    browser, dsn = shop
    status, answer = browser.order(quantity=2)
    assert status == 201
    assert browser.look(answer["order"])["mail"] == []
    assert count(dsn, "pgqueue.job") == 6
    with running(dsn, "pgqueue", "worker"):
        until(lambda: browser.look(answer["order"])["shipped_with"], PATIENCE)
        until(lambda: "reminder" in browser.look(answer["order"])["mail"], PATIENCE)
        until(lambda: browser.look(answer["order"])["left"] == 1, PATIENCE)
        number = answer["order"]
        assert browser.look(number) == {
            "order": number,
            "in_stock": True,
            "left": 1,
            "mail": ["receipt", "reminder"],
            "shipped_with": f"parcel {number} with label {number}",
        }
        _, other = browser.order(quantity=2)
        until(lambda: "sold out" in browser.look(other["order"])["mail"], PATIENCE)
        assert browser.look(other["order"])["left"] == 1


def test_a_declined_payment_leaves_no_order_and_no_job(
    shop: tuple[Browser, str],
) -> None:
    browser, dsn = shop
    assert browser.order(quantity=1, card="declined") == (
        402,
        {"error": "payment declined"},
    )
    assert count(dsn, "shop_order") == 0
    assert count(dsn, "pgqueue.job") == 0
