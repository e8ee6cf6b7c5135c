"""What happens after an order; `flask --app shop pgqueue worker` runs it.

A job may run more than once, if its worker dies before it could say that it is done.
So each of them can see what it did before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.dialects.postgresql import insert

from pgqueue.flask import PgQueue
from shop.models import Mail, Order, Product, db

if TYPE_CHECKING:
    from pgqueue import ActiveJob

# In an app's context, whatever is added is part of the session's transaction.
jobs = PgQueue(session=db.session)
mail = jobs.queue("mail")
stock = jobs.queue("stock")
flows = jobs.flows()


@jobs.handler("mail", "send mail")
def send_mail(job: ActiveJob) -> None:
    """Send a letter about an order, once."""
    letter = insert(Mail).values(order_id=job.data["order_id"], kind=job.data["kind"])
    db.session.execute(letter.on_conflict_do_nothing())
    db.session.commit()


@jobs.handler("stock", "take from stock")
def take_from_stock(job: ActiveJob) -> int:
    """Take what was ordered from the shelf, once; return what is left."""
    order = db.session.get_one(Order, job.data["order_id"], with_for_update=True)
    product = db.session.get_one(Product, order.product_id, with_for_update=True)
    if order.in_stock is None:
        order.in_stock = product.stock >= order.quantity
        if order.in_stock:
            product.stock -= order.quantity
        else:
            # In the same transaction: the letter is written if the rest is.
            mail.add("send mail", {"order_id": order.id, "kind": "sold out"})
    left = int(product.stock)
    db.session.commit()
    return left


@jobs.handler("fulfilment", "pick")
def pick(job: ActiveJob) -> str:
    """Fetch the goods."""
    return f"parcel {job.data['order_id']}"


@jobs.handler("fulfilment", "print label")
def print_label(job: ActiveJob) -> str:
    """Print where the parcel goes."""
    return f"label {job.data['order_id']}"


@jobs.handler("fulfilment", "ship")
def ship(job: ActiveJob) -> None:
    """Hand the parcel over, once it is picked and has a label."""
    order = db.session.get_one(Order, job.data["order_id"])
    parts = sorted(job.children_values().values(), reverse=True)
    order.shipped_with = " with ".join(parts)
    db.session.commit()
