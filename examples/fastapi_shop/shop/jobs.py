"""What happens after an order; `pgqueue worker shop.jobs:worker` runs it.

A job may run more than once, if its worker dies before it could say that it is done.
So each of them can see what it did before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert

from pgqueue import Worker
from pgqueue.fastapi import SessionQueue
from shop.models import Mail, Order, Product, Session, engine

if TYPE_CHECKING:
    from pgqueue import ActiveJob

worker = Worker(["mail", "stock", "fulfilment"])


@worker.handler("send mail")
async def send_mail(job: ActiveJob) -> None:
    """Send a letter about an order, once."""
    letter = insert(Mail).values(order_id=job.data["order_id"], kind=job.data["kind"])
    async with Session.begin() as session:
        await session.execute(letter.on_conflict_do_nothing())


@worker.handler("take from stock")
async def take_from_stock(job: ActiveJob) -> int:
    """Take what was ordered from the shelf, once; return what is left."""
    async with Session.begin() as session:
        number = job.data["order_id"]
        order = await session.get_one(Order, number, with_for_update=True)
        product = await session.get_one(Product, order.product_id, with_for_update=True)
        if order.in_stock is None:
            order.in_stock = product.stock >= order.quantity
            if order.in_stock:
                product.stock -= order.quantity
            else:
                # In the same transaction: the letter is written if the rest is.
                letter = {"order_id": order.id, "kind": "sold out"}
                await SessionQueue("mail", session).add("send mail", letter)
    return product.stock


@worker.handler("pick")
async def pick(job: ActiveJob) -> str:
    """Fetch the goods."""
    return f"parcel {job.data['order_id']}"


@worker.handler("print label")
async def print_label(job: ActiveJob) -> str:
    """Print where the parcel goes."""
    return f"label {job.data['order_id']}"


@worker.handler("ship")
async def ship(job: ActiveJob) -> None:
    """Hand the parcel over, once it is picked and has a label."""
    values = await job.children_values()
    parts = " with ".join(sorted(values.values(), reverse=True))
    order = update(Order).where(Order.id == job.data["order_id"])
    async with Session.begin() as session:
        await session.execute(order.values(shipped_with=parts))


@worker.on("closed")
async def closed() -> None:
    """Close the handlers' connections."""
    await engine.dispose()
