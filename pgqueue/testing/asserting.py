"""Assertions about what was added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pgqueue import options
from pgqueue.ops import testing as ops
from pgqueue.testing.guarding import aguard, guard
from pgqueue.testing.reaching import acaller, caller, name_of

if TYPE_CHECKING:
    from pgqueue.types import Job, JsonValue

SHOWN = 10


def assert_added(
    name: str,
    *,
    queue: Any = None,
    data: JsonValue = None,
    count: int | None = None,
    connection: Any = None,
    dsn: str | None = None,
) -> list[Job]:
    """Assert that jobs of a name are stored, waiting or whatever became of them.

    Args:
        queue: a `Queue` or its name; any queue by default.
        data: what their data must contain: of an object these keys, at any depth.
        count: exactly so many; at least one by default.
        connection: sees what its own transaction has added.

    Returns:
        The jobs, in the order in which they were added.

    Raises:
        AssertionError: it is not so; the message lists what there is.
        ConfigError: an argument is out of its range.
    """
    wanted = check(name, queue, count)
    found = read(queue, wanted, connection, dsn)
    return judge(found, name, wanted, data, count)


def assert_nothing_added(
    *, queue: Any = None, connection: Any = None, dsn: str | None = None
) -> None:
    """Assert that no job is stored, in one queue or in any.

    Raises:
        AssertionError: there is one; the message lists them.
    """
    wanted = name_of(queue)
    deny(read(queue, wanted, connection, dsn), wanted)


async def aassert_added(
    name: str,
    *,
    queue: Any = None,
    data: JsonValue = None,
    count: int | None = None,
    connection: Any = None,
    dsn: str | None = None,
) -> list[Job]:
    """Do what `assert_added` does, on an async connection."""
    wanted = check(name, queue, count)
    found = await aread(queue, wanted, connection, dsn)
    return judge(found, name, wanted, data, count)


async def aassert_nothing_added(
    *, queue: Any = None, connection: Any = None, dsn: str | None = None
) -> None:
    """Do what `assert_nothing_added` does, on an async connection."""
    wanted = name_of(queue)
    deny(await aread(queue, wanted, connection, dsn), wanted)


def check(name: str, queue: Any, count: int | None) -> str | None:
    """Check the arguments, and return the name of the queue."""
    options.check_name(name, "name")
    if count is not None:
        options.check_int("count", count, 0, ops.MOST)
    return name_of(queue)


def read(queue: Any, wanted: str | None, connection: Any, dsn: str | None) -> list[Job]:
    via = caller(queue, dsn)
    try:
        guard(via, connection)
        return via._run(ops.list_added(wanted, None), connection)  # noqa: SLF001
    finally:
        if via is not queue:
            via.close()


async def aread(
    queue: Any, wanted: str | None, connection: Any, dsn: str | None
) -> list[Job]:
    via = acaller(queue, dsn)
    try:
        await aguard(via, connection)
        return await via._run(ops.list_added(wanted, None), connection)  # noqa: SLF001
    finally:
        if via is not queue:
            await via.close()


def judge(
    found: list[Job], name: str, queue: str | None, data: JsonValue, count: int | None
) -> list[Job]:
    """Return the jobs that are meant, or raise."""
    fitting = [
        job
        for job in found
        if job.name == name and (data is None or contains(job.data, data))
    ]
    if bool(fitting) if count is None else len(fitting) == count:
        return fitting
    wanted = "a job" if count is None else f"{count} jobs"
    with_data = "" if data is None else f" with {data!r}"
    raise AssertionError(
        f"wanted {wanted} {name!r}{with_data}{place(queue)}, found {len(fitting)}; "
        f"{listing(found)}"
    )


def deny(found: list[Job], queue: str | None) -> None:
    """Raise if there is a job."""
    if found:
        raise AssertionError(f"wanted no job{place(queue)}; {listing(found)}")


def contains(have: Any, want: Any) -> bool:
    """Whether *have* is *want*, or an object with all that *want* has."""
    if isinstance(want, Mapping) and isinstance(have, Mapping):
        return all(key in have and contains(have[key], want[key]) for key in want)
    return bool(have == want)


def place(queue: str | None) -> str:
    return "" if queue is None else f" in queue {queue!r}"


def listing(found: list[Job]) -> str:
    """Return what there is, as text."""
    if not found:
        return "there is no job"
    lines = [
        f"  {job.queue}: {job.name!r} {job.data!r}, {job.state.value}"
        for job in found[:SHOWN]
    ]
    if len(found) > SHOWN:
        lines.append(f"  and {len(found) - SHOWN} more")
    return "\n".join(["there is:", *lines])
