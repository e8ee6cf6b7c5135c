"""Schedules: rules that add jobs on a cadence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Never

from pgqueue import options
from pgqueue.errors import UnknownOption
from pgqueue.ops import schedules as schedule_ops
from pgqueue.shells.base import AsyncShell, Shell
from pgqueue.shells.checks import PAGE, check_schedule
from pgqueue.types import NewJob

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pgqueue.cron import Missed
    from pgqueue.schedule import Schedule, SchedulePage
    from pgqueue.types import Backoff, Duration, JsonValue, Keep


class Schedules(Shell):
    """Make, list, pause and remove schedules."""

    def upsert_schedule(
        self,
        key: str,
        *,
        cron: str | None = None,
        every: Duration | None = None,
        tz: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = None,
        offset: Duration | None = None,
        immediately: bool = False,
        missed: Missed = "skip",
        name: str | None = None,
        data: JsonValue = None,
        priority: int = 0,
        group: str | None = None,
        lifo: bool = False,
        attempts: int = 1,
        backoff: Backoff | Duration | str | None = None,
        timeout: Duration | None = None,
        expires: Duration | None = None,
        remove_on_complete: Keep | None = None,
        remove_on_fail: Keep | None = None,
        keep_logs: int | None = None,
        stack_limit: int | None = None,
        size_limit: int | None = None,
        headers: Mapping[str, str] | None = None,
        tags: Sequence[str] = (),
        connection: Any = None,
        **unknown: Never,
    ) -> Schedule:
        """Make a schedule, or give an existing one this rule and this job template.

        One job is pending for each schedule: that of its next occurrence. An upsert
        replaces it. The same cadence keeps its next occurrence, so an application may
        upsert its schedules whenever it starts; counting goes on, and a paused
        schedule stays paused.

        Args:
            key: what the schedule is called, 1 to 255 characters.
            cron: a pattern of five fields, or six with seconds in front.
            every: the time between occurrences; either this or *cron*.
            tz: the IANA zone of the pattern; UTC by default.
            start: no occurrence before this instant; *every* counts from it.
            end: none after it.
            limit: how many occurrences in all.
            offset: shifts the grid of *every*, which begins at the epoch or at *start*.
            immediately: the first occurrence is now, if the cadence is new.
            missed: `skip` runs one late occurrence and goes on in the future, `all`
                runs every missed one, up to a thousand in a row.
            name: the name of its jobs; *key* by default.
            data: what its jobs get.
            group: the group that its jobs belong to.
            expires: a job is not started later than this after its occurrence.

        The other options are those of `add`, for each job.

        Raises:
            ConfigError: an option is unknown or out of its range; nothing was sent.
            PayloadError: the data cannot be stored; nothing was sent.
        """
        if unknown:
            raise UnknownOption.of(self.upsert_schedule, unknown)
        rule = check_schedule(
            key,
            cron=cron,
            every=every,
            tz=tz,
            start=start,
            end=end,
            limit=limit,
            offset=offset,
            immediately=immediately,
            missed=missed,
        )
        new = NewJob(
            key if name is None else name,
            data,
            priority=priority,
            group=group,
            lifo=lifo,
            attempts=attempts,
            backoff=backoff,
            timeout=timeout,
            expires=expires,
            remove_on_complete=remove_on_complete,
            remove_on_fail=remove_on_fail,
            keep_logs=keep_logs,
            stack_limit=stack_limit,
            size_limit=size_limit,
            headers=headers,
            tags=tags,
        )
        template = options.encode_job(new, self._limit)
        op = schedule_ops.upsert(self.name, key, rule, template)
        return self._run(op, connection)

    def schedules(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        connection: Any = None,
    ) -> SchedulePage:
        """Return a page of schedules by next occurrence, those without one last.

        Args:
            after: the `cursor` of the page before.
            limit: how many at most, 100 by default.
        """
        most = PAGE if limit is None else options.check_int("limit", limit, 1, 10_000)
        place = schedule_ops.parse_cursor(after)
        op = schedule_ops.list_page(self.name, place, most)
        return self._run(op, connection)

    def get_schedule(self, key: str, *, connection: Any = None) -> Schedule:
        """Return a schedule.

        Raises:
            ScheduleNotFound: the queue has no schedule with this key.
        """
        op = schedule_ops.get(self.name, options.check_name(key, "key"))
        return self._run(op, connection)

    def remove_schedule(self, key: str, *, connection: Any = None) -> bool:
        """Remove a schedule and its pending job; return whether there was one.

        A job of it that a worker runs is not touched.
        """
        op = schedule_ops.remove(self.name, options.check_name(key, "key"))
        return self._run(op, connection)

    def pause_schedule(self, key: str, *, connection: Any = None) -> Schedule:
        """Remove the pending job of a schedule, and make no other until `resume_schedule`.

        Raises:
            ScheduleNotFound: the queue has no schedule with this key.
        """
        op = schedule_ops.pause(self.name, options.check_name(key, "key"))
        return self._run(op, connection)

    def resume_schedule(self, key: str, *, connection: Any = None) -> Schedule:
        """Let a paused schedule go on; what passed meanwhile was not missed.

        Raises:
            ScheduleNotFound: the queue has no schedule with this key.
        """
        op = schedule_ops.resume(self.name, options.check_name(key, "key"))
        return self._run(op, connection)


class AsyncSchedules(AsyncShell):
    """The same, awaited."""

    async def upsert_schedule(
        self,
        key: str,
        *,
        cron: str | None = None,
        every: Duration | None = None,
        tz: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = None,
        offset: Duration | None = None,
        immediately: bool = False,
        missed: Missed = "skip",
        name: str | None = None,
        data: JsonValue = None,
        priority: int = 0,
        group: str | None = None,
        lifo: bool = False,
        attempts: int = 1,
        backoff: Backoff | Duration | str | None = None,
        timeout: Duration | None = None,  # noqa: ASYNC109  of the job, not the call
        expires: Duration | None = None,
        remove_on_complete: Keep | None = None,
        remove_on_fail: Keep | None = None,
        keep_logs: int | None = None,
        stack_limit: int | None = None,
        size_limit: int | None = None,
        headers: Mapping[str, str] | None = None,
        tags: Sequence[str] = (),
        connection: Any = None,
        **unknown: Never,
    ) -> Schedule:
        """Make a schedule, or give an existing one this rule and this job template."""
        if unknown:
            raise UnknownOption.of(self.upsert_schedule, unknown)
        rule = check_schedule(
            key,
            cron=cron,
            every=every,
            tz=tz,
            start=start,
            end=end,
            limit=limit,
            offset=offset,
            immediately=immediately,
            missed=missed,
        )
        new = NewJob(
            key if name is None else name,
            data,
            priority=priority,
            group=group,
            lifo=lifo,
            attempts=attempts,
            backoff=backoff,
            timeout=timeout,
            expires=expires,
            remove_on_complete=remove_on_complete,
            remove_on_fail=remove_on_fail,
            keep_logs=keep_logs,
            stack_limit=stack_limit,
            size_limit=size_limit,
            headers=headers,
            tags=tags,
        )
        template = options.encode_job(new, self._limit)
        op = schedule_ops.upsert(self.name, key, rule, template)
        return await self._run(op, connection)

    async def schedules(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        connection: Any = None,
    ) -> SchedulePage:
        """Return a page of schedules by next occurrence, those without one last."""
        most = PAGE if limit is None else options.check_int("limit", limit, 1, 10_000)
        place = schedule_ops.parse_cursor(after)
        op = schedule_ops.list_page(self.name, place, most)
        return await self._run(op, connection)

    async def get_schedule(self, key: str, *, connection: Any = None) -> Schedule:
        """Return a schedule."""
        op = schedule_ops.get(self.name, options.check_name(key, "key"))
        return await self._run(op, connection)

    async def remove_schedule(self, key: str, *, connection: Any = None) -> bool:
        """Remove a schedule and its pending job; return whether there was one."""
        op = schedule_ops.remove(self.name, options.check_name(key, "key"))
        return await self._run(op, connection)

    async def pause_schedule(self, key: str, *, connection: Any = None) -> Schedule:
        """Remove the pending job of a schedule, and make no other until `resume_schedule`."""
        op = schedule_ops.pause(self.name, options.check_name(key, "key"))
        return await self._run(op, connection)

    async def resume_schedule(self, key: str, *, connection: Any = None) -> Schedule:
        """Let a paused schedule go on; what passed meanwhile was not missed."""
        op = schedule_ops.resume(self.name, options.check_name(key, "key"))
        return await self._run(op, connection)
