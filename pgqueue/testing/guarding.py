"""While a fixture gives a test its database, the helpers refuse every other.

A queue keeps the database of the moment when it was made, and that of a developer's
environment is a real one. What is given as `connection=` is trusted, and Django's own
connection, which is in Django's test database.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from pgqueue.db import given
from pgqueue.db.translate import describe
from pgqueue.errors import ConfigError
from pgqueue.ops.testing import find_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgqueue.shells.base import AsyncCaller, Caller

_own: Final[list[str]] = []
"""The databases of the fixtures that the running test uses."""


class Place(NamedTuple):
    """Which database a DSN means, whoever logs in."""

    host: str | None
    port: str | None
    dbname: str | None

    @classmethod
    def of(cls, dsn: str) -> Place:
        known = Conninfo.get_defaults()  # of `PG*`, too
        parts = {one.keyword.decode(): one.val.decode() for one in known if one.val}
        parts |= {k: str(v) for k, v in conninfo_to_dict(dsn).items() if v}
        name = parts.get("dbname") or parts.get("service") or parts.get("user")
        host = parts.get("host") or parts.get("hostaddr")
        return cls(host, parts.get("port"), name)

    def __str__(self) -> str:
        return describe(make_conninfo(**self._asdict()))


@contextmanager
def only(dsn: str) -> Iterator[None]:
    """Let the helpers reach this database only, until the test is over."""
    _own.append(dsn)
    try:
        yield
    finally:
        _own.remove(dsn)


def guard(via: Caller, connection: object) -> None:
    """Refuse a database that is not the test's.

    Raises:
        ConfigError: the helper would be in another one.
    """
    if not _own or connection is not None or via._alias is not None:  # noqa: SLF001
        return
    if via._borrows(None):  # noqa: SLF001
        refuse_session(via._run(find_database(), None))  # noqa: SLF001
    elif via._pool is None:  # noqa: SLF001
        refuse_other(via._settings.dsn)  # noqa: SLF001
    else:
        with given.lend(via._pool) as lent:  # noqa: SLF001
            refuse_other(lent.info.dsn)


async def aguard(via: AsyncCaller, connection: object) -> None:
    """Do the same for what is awaited."""
    if not _own or connection is not None or via._alias is not None:  # noqa: SLF001
        return
    if await via._borrows(None):  # noqa: SLF001
        refuse_session(await via._run(find_database(), None))  # noqa: SLF001
    elif via._pool is None:  # noqa: SLF001
        refuse_other(via._settings.dsn)  # noqa: SLF001
    else:
        async with given.alend(via._pool) as lent:  # noqa: SLF001
            refuse_other(lent.info.dsn)


def refuse_other(dsn: str) -> None:
    there = Place.of(dsn)
    if there not in map(Place.of, _own):
        raise refusal(str(there))


def refuse_session(name: str) -> None:
    """Refuse the database of a session, which only it knows: by its name."""
    if name not in [Place.of(one).dbname for one in _own]:
        raise refusal(f"database {name!r}, where the session is")


def refusal(there: str) -> ConfigError:
    return ConfigError(
        f"without connection= this would be done in {there}, and the test's is "
        f"{Place.of(_own[-1])}; give connection=pgqueue_connection, or make the queue after the "
        "fixture; queues that modules make are in the test's database with "
        "pgqueue_from_start = true in pytest's configuration"
    )
