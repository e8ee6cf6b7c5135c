"""What happens after an order; `manage.py pgqueue worker` runs it.

A job may run more than once, if its worker dies before it could say that it is done.
So each of them can see what it did before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from pgqueue import Backoff
from pgqueue.django import Queue
from shop.models import Mail, Order, Product

if TYPE_CHECKING:
    from pgqueue import ActiveJob

mail = Queue("mail")
stock = Queue("stock")
fulfilment = Queue("fulfilment")


@mail.job(attempts=5, backoff=Backoff.exponential(1, max=300))
def send_mail(order_id: int, kind: str) -> None:
    """Send a letter about an order, once."""
    Mail.objects.get_or_create(order_id=order_id, kind=kind)


@stock.job(attempts=5, backoff=1)
def take_from_stock(order_id: int) -> int:
    """Take what was ordered from the shelf, once; return what is left."""
    with transaction.atomic():
        order = Order.objects.select_for_update().get(pk=order_id)
        product = Product.objects.select_for_update().get(pk=order.product_id)
        if order.in_stock is None:
            order.in_stock = product.stock >= order.quantity
            order.save(update_fields=["in_stock"])
            if order.in_stock:
                product.stock -= order.quantity
                product.save(update_fields=["stock"])
            else:
                # In the same transaction: the letter is written if the rest is.
                send_mail.add(order_id, "sold out")
    return product.stock


@fulfilment.handler("pick")
def pick(job: ActiveJob) -> str:
    """Fetch the goods."""
    return f"parcel {job.data['order_id']}"


@fulfilment.handler("print label")
def print_label(job: ActiveJob) -> str:
    """Print where the parcel goes."""
    return f"label {job.data['order_id']}"


@fulfilment.handler("ship")
def ship(job: ActiveJob) -> None:
    """Hand the parcel over, once it is picked and has a label."""
    parts = " with ".join(sorted(job.children_values().values(), reverse=True))
    Order.objects.filter(pk=job.data["order_id"]).update(shipped_with=parts)
