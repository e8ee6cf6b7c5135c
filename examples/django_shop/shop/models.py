"""Products, orders, and the mail that was sent about them."""

from __future__ import annotations

from django.db import models


class Product(models.Model):
    """Something there is a number of."""

    name = models.TextField(unique=True)
    stock = models.IntegerField()


class Order(models.Model):
    """What somebody bought."""

    product = models.ForeignKey(Product, models.PROTECT)
    quantity = models.PositiveIntegerField()
    in_stock = models.BooleanField(null=True)
    shipped_with = models.TextField(blank=True)


class Mail(models.Model):
    """A letter; one of each kind for an order, however often its job runs."""

    order = models.ForeignKey(Order, models.CASCADE)
    kind = models.TextField()

    class Meta:
        """A job may run twice, a letter goes out once."""

        constraints = (
            models.UniqueConstraint(fields=["order", "kind"], name="one_of_a_kind"),
        )
