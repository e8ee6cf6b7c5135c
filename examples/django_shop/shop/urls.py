"""Two addresses."""

from __future__ import annotations

from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from shop.views import place_order, show_order

urlpatterns = [
    path("orders/", csrf_exempt(place_order)),  # for programs, not for a form
    path("orders/<int:order_id>/", show_order),
]
