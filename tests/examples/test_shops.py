"""The shops of `examples/`, driven over HTTP, with a worker process of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from examples.shops import PATIENCE, STACKS, Shop
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture(params=STACKS, ids=str)
def shop(
    request: pytest.FixtureRequest, fresh_database: str, tmp_path: Path
) -> Iterator[Shop]:
    """A shop with three lamps, and nobody to work for it."""
    made = Shop(request.param, fresh_database, tmp_path)
    made.prepare()
    with made.serving():
        until(made.answers, PATIENCE)
        yield made


def test_an_order_and_what_follows_from_it(shop: Shop) -> None:
    status, answer = shop.order(quantity=2)
    assert status == 201
    number = answer["order"]
    assert shop.look(number)["mail"] == []
    assert shop.count("pgqueue.job") == 6
    assert shop.count("pgqueue.delayed") == 1, "the reminder"
    with shop.working():
        until(lambda: shop.look(number)["shipped_with"], PATIENCE)
        until(lambda: len(shop.look(number)["mail"]) == 2, PATIENCE)
        until(lambda: shop.look(number)["left"] == 1, PATIENCE)
        assert shop.look(number) == {
            "order": number,
            "in_stock": True,
            "left": 1,
            "mail": ["receipt", "reminder"],
            "shipped_with": f"parcel {number} with label {number}",
        }
        _, other = shop.order(quantity=2)
        until(lambda: "sold out" in shop.look(other["order"])["mail"], PATIENCE)
        assert shop.look(other["order"])["left"] == 1


def test_a_declined_payment_leaves_no_order_and_no_job(shop: Shop) -> None:
    answer = shop.order(quantity=1, card="declined")
    assert answer == (402, {"error": "payment declined"})
    assert shop.count("shop_order") == 0
    assert shop.count("pgqueue.job") == 0


def test_what_nobody_sells_cannot_be_ordered(shop: Shop) -> None:
    assert shop.order(product="castle", quantity=1)[0] == 404
    assert shop.count("pgqueue.job") == 0
