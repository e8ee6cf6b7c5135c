"""Place an order, and look at it: `uvicorn shop.app:app`."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, PositiveInt
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from pgqueue import AsyncFlowProducer, AsyncQueue, Backoff, FlowNode
from pgqueue.fastapi import PgQueue
from shop.models import Mail, Order, Product, Session, engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# How long after an order its reminder is due, in seconds.
REMINDER_DELAY = float(os.environ.get("REMINDER_DELAY", "172800"))

jobs = PgQueue()  # no workers: they are processes of their own


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Close what the application opened."""
    async with jobs.lifespan(app):
        yield
    await engine.dispose()


async def get_session() -> AsyncIterator[AsyncSession]:
    """Give a request its session; what it does not commit is rolled back."""
    async with Session() as session:
        yield session


InSession = Annotated[AsyncSession, Depends(get_session)]
# Queues whose jobs are part of the session's transaction.
MailQueue = Annotated[AsyncQueue, Depends(jobs.depends("mail", get_session))]
StockQueue = Annotated[AsyncQueue, Depends(jobs.depends("stock", get_session))]

app = FastAPI(title="A shop", lifespan=lifespan)


class Wanted(BaseModel):
    """What somebody wants to buy."""

    product: str
    quantity: PositiveInt
    card: str


class PaymentDeclined(Exception):
    """The bank said no."""


def charge(card: str) -> None:
    """Ask the bank."""
    if card == "declined":
        raise PaymentDeclined


@app.post("/orders/", status_code=201)
async def place_order(
    wanted: Wanted, session: InSession, mail: MailQueue, stock: StockQueue
) -> dict[str, int]:
    """Take an order with everything that follows from it, or nothing at all."""
    product = await session.scalar(
        select(Product).where(Product.name == wanted.product)
    )
    if product is None:
        raise HTTPException(404)
    order = Order(product_id=product.id, quantity=wanted.quantity)
    session.add(order)
    await session.flush()  # for its number
    what = {"order_id": order.id}
    letter = {"attempts": 5, "backoff": Backoff.exponential(1, max=300)}
    await mail.add("send mail", {**what, "kind": "receipt"}, **letter)
    await mail.add(
        "send mail", {**what, "kind": "reminder"}, delay=REMINDER_DELAY, **letter
    )
    await stock.add("take from stock", what, attempts=5, backoff=1)
    await AsyncFlowProducer().add(fulfilment(what), connection=session)
    # All jobs are added by now, and none of them exists if this raises.
    charge(wanted.card)
    await session.commit()
    return {"order": order.id}


def fulfilment(what: dict[str, int]) -> FlowNode:
    """Return what is to be done for a parcel: it is shipped after the rest."""
    parts = [
        FlowNode(name, what, queue="fulfilment") for name in ("pick", "print label")
    ]
    return FlowNode("ship", what, queue="fulfilment", children=parts)


@app.exception_handler(PaymentDeclined)
async def declined(_request: Any, _error: Any) -> JSONResponse:
    """Say that there is no order."""
    return JSONResponse({"error": "payment declined"}, 402)


@app.get("/orders/{number}/")
async def show_order(number: int, session: InSession) -> dict[str, Any]:
    """Tell where an order stands."""
    order = await session.get(Order, number)
    if order is None:
        raise HTTPException(404)
    product = await session.get_one(Product, order.product_id)
    letters = select(Mail.kind).where(Mail.order_id == number).order_by(Mail.kind)
    return {
        "order": order.id,
        "in_stock": order.in_stock,
        "left": product.stock,
        "mail": list(await session.scalars(letters)),
        "shipped_with": order.shipped_with,
    }


@app.get("/health")
async def health(session: InSession) -> dict[str, bool]:
    """Say that the application answers, and its database too."""
    await session.execute(select(1))
    return {"healthy": True}
