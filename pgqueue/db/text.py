"""Parameters as PostgreSQL's own text, for drivers that are given untyped values."""

from __future__ import annotations

from datetime import datetime
from typing import Final

SPECIAL: Final = str.maketrans({"\\": "\\\\", '"': '\\"'})


def as_text(value: object) -> str | None:
    """Return a value as PostgreSQL reads it from a string; None is NULL.

    Raises:
        TypeError: no statement of ours has such a parameter.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return f"{{{','.join([element(one) for one in value])}}}"
    raise TypeError(f"no parameter can be a {type(value).__name__}")


def element(value: object) -> str:
    """Return a value as it stands in an array."""
    text = as_text(value)
    return "NULL" if text is None else f'"{text.translate(SPECIAL)}"'
