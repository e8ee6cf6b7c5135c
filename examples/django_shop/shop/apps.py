"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """A shop with one table of products and one of orders."""

    name = "shop"
