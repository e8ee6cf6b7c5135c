"""A column of the view that the driver has read already."""

from __future__ import annotations

from typing import Any

from django.db import models


class JsonColumn(models.Field):
    """A `json` column, read only; Django's own field is for `jsonb`."""

    description = "JSON, as the driver reads it"

    def db_type(self, connection: Any) -> str:  # noqa: ARG002
        """Return the type that a table would have."""
        return "json"
