"""Job schedulers: the schedules of a queue, as BullMQ says them."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from pgqueue import options as core_options
from pgqueue import payload
from pgqueue.compat.bullmq.job import Job
from pgqueue.compat.bullmq.known import check_options
from pgqueue.compat.bullmq.options import HEADER, new_job
from pgqueue.compat.bullmq.reading import read_number, stretch
from pgqueue.compat.bullmq.units import check_millis, check_whole, instant, millis
from pgqueue.compat.bullmq.unsupported import TEMPLATE_OPTIONS
from pgqueue.cron import Rule, check_rule, following
from pgqueue.errors import ConfigError
from pgqueue.ops import schedules
from pgqueue.ops.core import Op, Row, Statement, atomic
from pgqueue.stored import MAX_COUNT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgqueue.compat.bullmq.link import Link
    from pgqueue.schedule import Schedule

SHOWN: Final = ("limit", "startDate", "endDate", "tz", "offset")


def default_repeat_strategy(
    millis: int,
    opts: Mapping[str, Any],
) -> int | None:
    """Return when a pattern fires next after *millis*, in milliseconds.

    Raises:
        ValueError: the pattern cannot be read; croniter's `CroniterBadCronError`, too,
            where a program has imported croniter.
        ZoneInfoNotFoundError: there is no such zone.
    """
    pattern = opts.get("pattern")
    if not pattern:
        return None
    if opts.get("tz"):
        ZoneInfo(opts["tz"])
    try:
        rule = check_rule(Rule(cron=pattern, tz=opts.get("tz")))
    except ConfigError as error:
        raise bad_pattern(error) from None
    if opts.get("immediately"):
        return int(time.time() * 1000)
    start = instant(opts.get("startDate"))
    after = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis)
    found = following(rule, after if start is None else max(after, start), 0)
    return None if found is None else as_millis(found)


def bad_pattern(error: ConfigError) -> ConfigError:
    """Return it as one that `except CroniterBadCronError` catches, too."""
    # whoever names that class has imported it; nobody else needs croniter
    theirs = getattr(sys.modules.get("croniter"), "CroniterBadCronError", None)
    if theirs is None:
        return error
    both = type("BadPattern", (ConfigError, theirs), {"__module__": __name__})
    found: ConfigError = both(*error.args)
    return found


def as_millis(at: datetime) -> int:
    """Return an instant in milliseconds."""
    return millis(at) or 0


def check_repeat(repeat: Mapping[str, Any]) -> None:
    """Raise unless a repeat rule says when to repeat.

    Raises:
        ValueError: both or neither of `every` and `pattern`, or a contradiction.
    """
    check_options("repeat", repeat)
    every, pattern = repeat.get("every"), repeat.get("pattern")
    if pattern and every:
        raise ValueError(
            "a repeat rule takes `every` or `pattern`, and this one has both"
        )
    if not pattern and not every:
        raise ValueError(
            "a repeat rule takes `every` or `pattern`, and this one has neither"
        )
    if repeat.get("immediately") and repeat.get("startDate"):
        raise ValueError(
            "a repeat rule that has a `startDate` cannot begin `immediately`"
        )


def rule_of(repeat: Mapping[str, Any]) -> Rule:
    """Return a repeat rule as pgqueue's."""
    every, limit = repeat.get("every"), repeat.get("limit")
    if every:
        check_millis("every", every, least=1)
    if limit is not None:
        check_whole("limit", limit, 1, MAX_COUNT)
    offset = check_millis("offset", repeat.get("offset") or 0) if every else None
    return check_rule(
        Rule(
            cron=repeat.get("pattern") or None,
            every=every / 1000 if every else None,
            tz=None if every else repeat.get("tz"),
            start=instant(repeat.get("startDate")),
            end=instant(repeat.get("endDate")),
            limit=None if limit is None else limit - (repeat.get("count") or 0),
            offset=offset / 1000 if offset else None,
            immediately=bool(repeat.get("immediately")) and not every,
        )
    )


@atomic
def replace(queue: str, key: str, rule: Rule, template: str) -> Op[Schedule]:
    """Make a schedule, in place of one with that key and its pending job."""
    yield from schedules.remove(queue, key).op
    return (yield from schedules.upsert(queue, key, rule, template).op)


def describe(row: Row) -> dict[str, Any]:
    """Return a schedule as BullMQ shows it."""
    template = payload.decode(row[7])
    headers = (template.get("options") or {}).get("headers") or {}
    stored = json.loads(headers.get(HEADER, "{}"))
    repeat = stored.get("repeat") or {}
    rule = payload.decode(row[6])
    found: dict[str, Any] = {
        "key": row[0],
        "name": template["name"],
        "next": millis(row[1]),
        "iterationCount": row[4] + 1 + (repeat.get("count") or 0),
        "template": {
            "data": template.get("data"),
            "opts": {name: one for name, one in stored.items() if name != "repeat"},
        },
    }
    if rule.get("cron"):
        found["pattern"] = rule["cron"]
    if rule.get("every"):
        found["every"] = round(rule["every"] * 1000)
    for name in SHOWN:
        if repeat.get(name) is not None:
            found[name] = repeat[name]
    return found


def list_all(queue: str) -> Op[list[dict[str, Any]]]:
    """Return all schedules of a queue by their next occurrence."""
    found: list[dict[str, Any]] = []
    micros, key = -(2**62), ""
    while True:
        place = {"micros": micros, "key": key, "limit": 500, "never": schedules.NEVER}
        rows = yield Statement("list_schedules", {"queue": queue, **place})
        found += [describe(row) for row in rows]
        if len(rows) < 500:  # noqa: PLR2004
            return found
        key, micros = rows[-1][0], rows[-1][8]


def plain(name: str, value: Any) -> Any:
    """Return a part of a repeat rule as it is shown: a date in milliseconds."""
    return millis(instant(value)) if name in ("startDate", "endDate") else value


def get_row(queue: str, key: str) -> Op[Row | None]:
    """Return the row of a schedule."""
    rows = yield Statement("get_schedule", {"queue": queue, "key": key})
    return rows[0] if rows else None


class Scheduling:
    """The schedulers of `Queue`."""

    link: Link
    opts: dict[str, Any]

    async def upsertJobScheduler(
        self,
        job_scheduler_id: str,
        repeat_opts: Mapping[str, Any],
        job_name: str | None = None,
        job_data: Any = None,
        opts: Mapping[str, Any] | None = None,
    ) -> Job | None:
        """Make or replace a scheduler; return the job of its next iteration.

        None, with nothing stored, if its limit is reached or its end has passed.

        Raises:
            ValueError: the rule says nothing, or contradicts itself.
            ZoneInfoNotFoundError: there is no such zone.
        """
        core_options.check_name(job_scheduler_id, "job_scheduler_id")
        check_options("scheduler", opts, TEMPLATE_OPTIONS)
        check_repeat(repeat_opts)
        limit, end = repeat_opts.get("limit"), instant(repeat_opts.get("endDate"))
        if limit is not None and (repeat_opts.get("count") or 0) + 1 > limit:
            return None
        if end is not None and end < datetime.now(UTC):
            return None
        default_repeat_strategy(int(time.time() * 1000), repeat_opts)
        rule = rule_of(repeat_opts)
        given = {**(getattr(self, "jobsOpts", None) or {}), **(opts or {})}
        shown = {k: plain(k, v) for k, v in repeat_opts.items() if k != "immediately"}
        data = {} if job_data is None else job_data
        new = new_job(job_name or job_scheduler_id, data, given)
        kept = json.dumps({**given, "repeat": shown}, allow_nan=False)
        template = core_options.encode_job(with_header(new, kept))
        op = replace(self.link.queue, job_scheduler_id, rule, template)
        made = await self.link.run(op)
        if made.job_id is None:
            await self.link.run(schedules.remove(self.link.queue, job_scheduler_id))
            return None
        found = await self.link.read(read_number(self.link.queue, made.job_id))
        return None if found is None else Job.read(self, found)

    async def getJobScheduler(self, job_scheduler_id: str) -> dict[str, Any] | None:
        """Return a scheduler, or None."""
        row = await self.link.read(get_row(self.link.queue, job_scheduler_id))
        return None if row is None else describe(row)

    async def getJobSchedulers(
        self, start: int = 0, end: int = -1, asc: bool = False
    ) -> list[dict[str, Any]]:
        """Return a stretch of the schedulers by their next iteration."""
        found = await self.link.read(list_all(self.link.queue))
        if not asc:
            found.reverse()
        first, count = stretch(start, end, len(found))
        return found[first : first + count]

    async def getJobSchedulersCount(self) -> int:
        """Return how many schedulers there are."""
        return len(await self.link.read(list_all(self.link.queue)))

    async def isJobScheduler(self, job_scheduler_id: str) -> bool:
        """Return whether there is one with this id."""
        return await self.getJobScheduler(job_scheduler_id) is not None

    async def removeJobScheduler(self, job_scheduler_id: str) -> int:
        """Remove a scheduler with its pending job; 0 if there was one, else 1."""
        op = schedules.remove(self.link.queue, job_scheduler_id)
        return int(not await self.link.run(op))


def with_header(new: Any, kept: str) -> Any:
    """Return a job with the options and the rule that a scheduler shows."""
    return dataclasses.replace(new, headers={HEADER: kept})
