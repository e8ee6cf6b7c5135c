"""Job options as a job's body stores them, read back; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NoReturn

from pgqueue import payload
from pgqueue.cron import on_calendar
from pgqueue.errors import PayloadError
from pgqueue.types import Backoff, JsonValue, Keep, KeepJobs

MAX_COUNT: Final = 2**53
LONGEST: Final = 100 * 365 * 86400.0
KINDS: Final = ("fixed", "exponential")


class Headers(dict[str, str]):
    """The headers of a job: a dict to every reader, but unchangeable, for jobs share it.

    Unlike a `MappingProxyType` it is copied, pickled, and written as JSON as any dict is.
    """

    __slots__ = ()

    def _refuse(self, *_args: object, **_named: object) -> NoReturn:
        raise TypeError("a job's headers cannot be changed; take a dict() of them")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[Headers], tuple[dict[str, str]]]:
        return Headers, (dict(self),)


NO_HEADERS: Final = Headers()


@dataclass(frozen=True, slots=True)
class Options:
    """The rarely used options of a job, as its body stores them."""

    backoff: Backoff | str | None = None
    timeout: float | None = None
    expires: float | datetime | None = None
    remove_on_complete: Keep | None = None
    remove_on_fail: Keep | None = None
    keep_logs: int | None = None
    stack_limit: int | None = None
    dedup: bool = False
    schedule: str | None = None
    scheduled_at: datetime | None = None
    due: datetime | None = None
    flow: bool = False
    ran: bool = False
    headers: Headers = field(default_factory=Headers)
    tags: tuple[str, ...] = ()


NONE: Final = Options()


@lru_cache(maxsize=4096)
def parse_options(text: str | None) -> Options:
    """Return the options of a body; what cannot be read counts as not given.

    Bodies are also written from SQL, so nothing here may raise: a job whose options
    are nonsense runs with the defaults.
    """
    if text is None:
        return NONE
    try:
        stored = payload.decode(text)
    except PayloadError:
        return NONE
    if not isinstance(stored, dict):
        return NONE
    due = parse_instant(stored.get("scheduled_at"))
    return Options(
        backoff=parse_backoff(stored.get("backoff")),
        timeout=number(stored.get("timeout")),
        expires=parse_expires(stored.get("expires")),
        remove_on_complete=parse_keep(stored.get("remove_on_complete")),
        remove_on_fail=parse_keep(stored.get("remove_on_fail")),
        keep_logs=parse_count(stored.get("keep_logs")),
        stack_limit=parse_count(stored.get("stack_limit")),
        dedup=stored.get("dedup") is True,
        schedule=parse_text(stored.get("schedule")),
        scheduled_at=due and on_calendar(due, number(stored.get("travelled"))),
        due=due,
        flow=stored.get("flow") is True,
        ran=stored.get("ran") is True,
        headers=parse_headers(stored.get("headers")),
        tags=parse_tags(stored.get("tags")),
    )


def expiry(stored: Options, created_at: datetime) -> datetime | None:
    """Return the instant after which a job is not to be started any more."""
    if isinstance(stored.expires, float):
        # A schedule adds its next job early: that one's time runs from its occurrence.
        return (stored.due or created_at) + timedelta(seconds=stored.expires)
    return stored.expires


def parse_expires(stored: JsonValue) -> float | datetime | None:
    """Return a stored expiry: seconds from the add, or an instant."""
    if (after := number(stored)) is not None:
        return after
    return parse_instant(stored)


def parse_text(stored: JsonValue) -> str | None:
    """Return a stored text."""
    return stored if isinstance(stored, str) else None


def parse_instant(stored: JsonValue) -> datetime | None:
    """Return a stored instant."""
    try:
        instant = datetime.fromisoformat(stored)
    except (TypeError, ValueError):
        return None
    return instant if instant.utcoffset() is not None else None


def parse_count(stored: JsonValue) -> int | None:
    """Return a stored number of things."""
    count = number(stored, MAX_COUNT)
    return None if count is None else int(count)


def parse_headers(stored: JsonValue) -> Headers:
    """Return stored headers."""
    if not isinstance(stored, Mapping):
        return NO_HEADERS
    return Headers((str(name), str(value)) for name, value in stored.items())


def parse_tags(stored: JsonValue) -> tuple[str, ...]:
    """Return stored tags."""
    return tuple(map(str, stored)) if isinstance(stored, list) else ()


def parse_backoff(stored: JsonValue) -> Backoff | str | None:
    """Return a stored backoff: a number is a fixed one, a text names a strategy."""
    if isinstance(stored, str):
        return stored
    if (fixed := number(stored)) is not None:
        return Backoff("fixed", fixed)
    if (
        not isinstance(stored, Mapping)
        or (delay := number(stored.get("delay"))) is None
    ):
        return None
    kind = stored.get("type", "fixed")
    if kind not in KINDS:
        return None
    jitter = min(number(stored.get("jitter")) or 0.0, 1.0)
    return Backoff(kind, delay, number(stored.get("max")), jitter)


def parse_keep(stored: JsonValue) -> Keep | None:
    """Return a stored keep rule."""
    if isinstance(stored, Mapping):
        age = number(stored.get("age"))
        return KeepJobs(age=age, count=parse_count(stored.get("count")))
    if isinstance(stored, bool):
        return stored
    if isinstance(stored, int) and stored >= 0:
        return min(stored, MAX_COUNT)
    return None


def number(value: JsonValue, most: float = LONGEST) -> float | None:
    """Return a number that is not negative, *most* at most, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # False for NaN; an integer too large for a float compares right.
    return float(min(value, most)) if value >= 0 else None
