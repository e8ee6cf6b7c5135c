"""Columns as most tables have them; called once SQLAlchemy is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Column, DateTime, Text
    from sqlalchemy.types import TypeEngine


def instant() -> DateTime:
    """Return the type of an instant."""
    import sqlalchemy as sa  # noqa: PLC0415

    return sa.DateTime(timezone=True)


def binary() -> Text:
    """Return the type of a text that is compared byte by byte."""
    import sqlalchemy as sa  # noqa: PLC0415

    return sa.Text(collation="C")


def needed(name: str, kind: TypeEngine[Any]) -> Column[Any]:
    """Return a column that is never null."""
    import sqlalchemy as sa  # noqa: PLC0415

    return sa.Column(name, kind, nullable=False)


def key(name: str, kind: TypeEngine[Any]) -> Column[Any]:
    """Return a part of the primary key."""
    import sqlalchemy as sa  # noqa: PLC0415

    return sa.Column(name, kind, primary_key=True, autoincrement=False)
