"""BullMQ's milliseconds, and pgqueue's seconds and instants; pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pgqueue.errors import ConfigError
from pgqueue.options import check_int
from pgqueue.stored import LONGEST


def millis(instant: datetime | None) -> int | None:
    """Return an instant as whole milliseconds since the epoch."""
    if instant is None:
        return None
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def instant(value: object) -> datetime | None:
    """Return milliseconds since the epoch, ISO text or a datetime as an instant."""
    if value is None:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value if value.utcoffset() is not None else value.astimezone()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)
    raise ConfigError.bad("date", value, "milliseconds since the epoch")


def check_millis(option: str, value: object, *, least: float = 0) -> float:
    """Return a duration in milliseconds, from *least* to a hundred years.

    Raises:
        ConfigError: it is none.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not least <= float(value) <= LONGEST * 1000:  # type: ignore[arg-type]
        allowed = f"milliseconds, from {least} to those of 100 years"
        raise ConfigError.bad(option, value, allowed)
    return float(value)  # type: ignore[arg-type]


def check_whole(option: str, value: object, low: int, high: int) -> int:
    """Return a whole number; a member of an `int` enum counts as its number."""
    plain = isinstance(value, int) and not isinstance(value, bool)
    return check_int(option, int(value) if plain else value, low, high)  # type: ignore[call-overload]
