"""Place an order, and look at it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, current_app, request

from pgqueue import Backoff, FlowNode
from shop.jobs import flows, mail, stock
from shop.models import Mail, Order, Product, db

orders = Blueprint("orders", __name__, url_prefix="/orders")


class PaymentDeclined(Exception):
    """The bank said no."""


def charge(card: str) -> None:
    """Ask the bank."""
    if card == "declined":
        raise PaymentDeclined


@orders.post("/")
def place_order() -> tuple[dict[str, Any], int]:
    """Take an order with everything that follows from it, or nothing at all."""
    asked = request.get_json(force=True)
    product = db.first_or_404(db.select(Product).filter_by(name=asked["product"]))
    order = Order(product=product, quantity=asked["quantity"])
    db.session.add(order)
    db.session.flush()  # for its number
    begin(order)
    # All jobs are added by now, and none of them exists if this raises.
    charge(asked["card"])
    db.session.commit()
    return {"order": order.id}, 201


def begin(order: Order) -> None:
    """Add the jobs of an order, in its transaction."""
    what = {"order_id": order.id}
    letter = {"attempts": 5, "backoff": Backoff.exponential(1, max=300)}
    later = current_app.config["REMINDER_DELAY"]
    mail.add("send mail", {**what, "kind": "receipt"}, **letter)
    mail.add("send mail", {**what, "kind": "reminder"}, delay=later, **letter)
    stock.add("take from stock", what, attempts=5, backoff=1)
    parts = [
        FlowNode("pick", what, queue="fulfilment"),
        FlowNode("print label", what, queue="fulfilment"),
    ]
    parcel = FlowNode("ship", what, queue="fulfilment", children=parts)
    flows.add(parcel)


@orders.errorhandler(PaymentDeclined)
def declined(_error: PaymentDeclined) -> tuple[dict[str, Any], int]:
    """Say that there is no order."""
    return {"error": "payment declined"}, 402


@orders.get("/<int:number>/")
def show_order(number: int) -> dict[str, Any]:
    """Tell where an order stands."""
    order = db.get_or_404(Order, number)
    letters = db.select(Mail.kind).filter_by(order_id=number).order_by(Mail.kind)
    return {
        "order": order.id,
        "in_stock": order.in_stock,
        "left": order.product.stock,
        "mail": list(db.session.scalars(letters)),
        "shipped_with": order.shipped_with,
    }
