"""Open connections of our own, and say why that does not work."""

from __future__ import annotations

import os
import re
import select
import time
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import psycopg

from pgqueue import sql
from pgqueue.config import normal_dsn
from pgqueue.db.translate import describe, one_line
from pgqueue.errors import ConfigError, DatabaseUnavailable

if TYPE_CHECKING:
    from pgqueue.config import Settings
    from pgqueue.db.run import AsyncConnection, SyncConnection

FRESH: Final = 1.0
"""A connection unused for longer than this is tried before it is used again."""
QUOTED: Final = re.compile(r'"[^"]*"')
SCHEME: Final = re.compile(r"(\w[\w+.-]{0,30})://")

_used: WeakKeyDictionary[Any, float] = WeakKeyDictionary()


def connect_options(settings: Settings) -> dict[str, Any]:
    """Return what every connection of ours is opened with."""
    return {
        "autocommit": True,
        "fallback_application_name": settings.app,
        "connect_timeout": 10,
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }


def configure(new: SyncConnection) -> None:
    """Make a new connection independent of the isolation that the database defaults to."""
    new.execute(sql.load("read_committed"))


def mark_used(lent: SyncConnection | AsyncConnection) -> None:
    """Note that a connection has just worked."""
    _used[lent] = time.monotonic()


def unused_for(lent: SyncConnection | AsyncConnection) -> float:
    """Return the seconds since a connection was used."""
    return time.monotonic() - _used.get(lent, 0.0)


def is_quiet(lent: SyncConnection | AsyncConnection) -> bool:
    """Whether a connection was used just now and its socket says nothing new.

    A server that ended the session has left its farewell, or an end of file, to read.
    """
    if unused_for(lent) > FRESH:
        return False
    poll = select.poll()
    poll.register(lent.fileno(), select.POLLIN)
    return not poll.poll(0)


def probe(settings: Settings) -> None:
    """Connect once, to learn why it does not work before a pool hides the reason."""
    try:
        psycopg.connect(settings.dsn, **connect_options(settings)).close()
    except psycopg.ProgrammingError as error:
        raise bad_dsn(error, settings.dsn) from None
    except psycopg.OperationalError as error:
        raise unreachable(settings, error) from error


def bad_dsn(error: psycopg.Error, dsn: str) -> ConfigError:
    """Return the error for a DSN that libpq cannot read.

    What libpq quotes may be a part of a password, so it is left out, and so should be
    the cause: raise this `from None`.
    """
    reason = QUOTED.sub("…", str(error).strip())
    if scheme := SCHEME.match(dsn):
        if scheme[1] not in ("postgresql", "postgres"):
            reason = f"{scheme[1]}:// is the address of something else"
    elif "in connection info string" in reason:
        reason = "it is neither a URL nor pairs of name=value"
    return ConfigError(
        f"the DSN{origin(dsn)} cannot be read ({reason}); it looks like "
        "postgresql://user@host:5432/name or host=… dbname=…"
    )


def origin(dsn: str) -> str:
    """Say which variable of the environment has a DSN, if one has."""
    for name in ("PGQUEUE_DSN", "DATABASE_URL"):
        if normal_dsn(os.environ.get(name, "")) == dsn:
            return f" in {name}"
    return ""


def unreachable(settings: Settings, error: psycopg.Error) -> DatabaseUnavailable:
    """Return the error for a server that does not answer, with libpq's reason."""
    reason = one_line(error)
    return DatabaseUnavailable(
        f"cannot connect to {describe(settings.dsn)}: {reason}; check "
        "PGQUEUE_DSN (or DATABASE_URL, PGHOST …) and that the server runs"
    )


def all_lent(settings: Settings, most: int, waited: float) -> DatabaseUnavailable:
    """Return the error for a pool whose connections all stay in use."""
    return DatabaseUnavailable(
        f"no connection to {describe(settings.dsn)} came free in {waited:.0f} s: "
        f"{most} calls of this process are under way"
    )


async def aprobe(settings: Settings) -> None:
    """Do what `probe` does, awaiting."""
    try:
        await (await connect(settings)).close()
    except psycopg.ProgrammingError as error:
        raise bad_dsn(error, settings.dsn) from None
    except psycopg.OperationalError as error:
        raise unreachable(settings, error) from error


async def connect(settings: Settings) -> AsyncConnection:
    """Open one connection outside any pool; the caller closes it."""
    return await psycopg.AsyncConnection.connect(
        settings.dsn, **connect_options(settings)
    )
