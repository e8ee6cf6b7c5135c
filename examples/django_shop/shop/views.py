"""Place an order, and look at it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET, require_POST

from pgqueue import FlowNode
from pgqueue.django import FlowProducer
from shop.jobs import send_mail, take_from_stock
from shop.models import Order, Product

if TYPE_CHECKING:
    from django.http import HttpRequest


class PaymentDeclined(Exception):
    """The bank said no."""


def charge(card: str) -> None:
    """Ask the bank."""
    if card == "declined":
        raise PaymentDeclined


@require_POST
def place_order(request: HttpRequest) -> JsonResponse:
    """Take an order with everything that follows from it, or nothing at all."""
    asked = json.loads(request.body)
    try:
        with transaction.atomic():
            product = get_object_or_404(Product, name=asked["product"])
            order = Order.objects.create(product=product, quantity=asked["quantity"])
            begin(order)
            # All jobs are added by now, and none of them exists if this raises.
            charge(asked["card"])
    except PaymentDeclined:
        return JsonResponse({"error": "payment declined"}, status=402)
    return JsonResponse({"order": order.pk}, status=201)


def begin(order: Order) -> None:
    """Add the jobs of an order, in its transaction."""
    send_mail.add(order.pk, "receipt")
    take_from_stock.add(order.pk)
    send_mail.using(delay=settings.REMINDER_DELAY).add(order.pk, "reminder")
    what = {"order_id": order.pk}
    FlowProducer().add(
        FlowNode(
            "ship",
            what,
            queue="fulfilment",
            children=[
                FlowNode("pick", what, queue="fulfilment"),
                FlowNode("print label", what, queue="fulfilment"),
            ],
        )
    )


@require_GET
def show_order(_request: HttpRequest, order_id: int) -> JsonResponse:
    """Tell where an order stands."""
    order = get_object_or_404(Order.objects.select_related("product"), pk=order_id)
    return JsonResponse(
        {
            "order": order.pk,
            "in_stock": order.in_stock,
            "left": order.product.stock,
            "mail": sorted(order.mail_set.values_list("kind", flat=True)),
            "shipped_with": order.shipped_with,
        }
    )
