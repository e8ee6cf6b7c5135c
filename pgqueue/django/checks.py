"""`manage.py check`: is the configured database one that pgqueue can live in?"""

from __future__ import annotations

from typing import Any

from django.core.checks import Error
from django.db import connections

from pgqueue.django.conf import site


def check_site(**_: Any) -> list[Error]:
    """Return what is wrong with the database that PGQUEUE names; asks no server."""
    alias = site().database
    if alias not in connections.settings:
        known = ", ".join(connections.settings)
        return [
            Error(
                f"PGQUEUE['DATABASE'] is {alias!r}, which is not in DATABASES.",
                hint=f"Name one of: {known}.",
                id="pgqueue.E001",
            )
        ]
    if connections[alias].vendor != "postgresql":
        return [
            Error(
                f"The database {alias!r} is not PostgreSQL.",
                hint="Let PGQUEUE['DATABASE'] name the alias of one that is.",
                id="pgqueue.E002",
            )
        ]
    return []
