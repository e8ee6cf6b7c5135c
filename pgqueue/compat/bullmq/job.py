"""`Job`: one job, as BullMQ's code reads and steers it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from pgqueue.compat.bullmq import reading
from pgqueue.compat.bullmq.known import check_options
from pgqueue.compat.bullmq.options import (
    check_json,
    given_options,
    public_id,
)
from pgqueue.compat.bullmq.settling import (
    complete,
    delay_until,
    fail,
    find_claim,
    save_data,
    save_log,
    save_progress,
    wait_for_children,
)
from pgqueue.compat.bullmq.units import check_millis, check_whole, millis
from pgqueue.compat.bullmq.unsupported import Explained
from pgqueue.errors import JobNotFound, JobStateError
from pgqueue.ops import control, jobs
from pgqueue.options import MAX_PRIORITY
from pgqueue.types import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgqueue.compat.bullmq.claims import Claim
    from pgqueue.compat.bullmq.link import Link
    from pgqueue.types import Job as CoreJob


class Owner(Protocol):
    """What a job belongs to: a queue or a worker."""

    link: Link
    opts: dict[str, Any]


class Job(Explained):
    """A job; its attributes are those of when it was read, or of what was done with it."""

    def __init__(
        self,
        queue: Owner,
        name: str,
        data: Any,
        opts: Mapping[str, Any] | None = None,
        job_id: str | None = None,
    ) -> None:
        self.queue = queue
        self.link = queue.link
        self.id = job_id
        self.number: int | None = None
        self.name = name
        self.data = data
        self.opts: dict[str, Any] = {"attempts": 1, **(opts or {})}
        self.attempts: int = self.opts["attempts"]
        self.delay: int = self.opts.get("delay") or 0
        self.priority: int = self.opts.get("priority") or 0
        self.timestamp: int | None = self.opts.get("timestamp")
        self.progress: Any = 0
        self.returnvalue: Any = None
        self.failedReason: str | None = None
        self.stacktrace: list[str] = []
        self.processedOn: int | None = None
        self.finishedOn: int | None = None
        self.attemptsMade = 0
        self.attemptsStarted = 0
        self.stalledCounter = 0
        self.parent: dict[str, Any] | None = self.opts.get("parent")
        self.repeatJobKey: str | None = None
        self.token: str | None = None
        self.claim: Claim | None = None
        self.queueQualifiedName = self.link.queue

    @classmethod
    def read(cls, owner: Owner, found: reading.Read) -> Job:
        """Return the job that a snapshot describes."""
        core, stacks = found
        job = cls(owner, core.name, core.data, given_options(core), public_id(core))
        job.number = core.id
        job.delay = job.delay if core.state is JobState.DELAYED else 0
        job.priority = core.priority
        job.timestamp = job.timestamp or millis(core.created_at)
        job.progress = 0 if core.progress is None else core.progress
        job.returnvalue = core.result
        job.processedOn = millis(core.started_at)
        job.finishedOn = millis(core.finished_at)
        job.attemptsMade = core.attempt - (core.state is JobState.ACTIVE)
        job.attemptsStarted = core.attempt + core.stalled
        job.stalledCounter = core.stalled
        job.stacktrace = stacks
        job.repeatJobKey = core.schedule
        if core.error is not None:
            final = core.state is JobState.FAILED
            job.failedReason = json.dumps(core.error) if final else core.error
        return job

    @classmethod
    def added(cls, owner: Owner, core: CoreJob, opts: Mapping[str, Any]) -> Job:
        """Return a job that was just added, with the options as they were given."""
        job = cls.read(owner, reading.Read(core, []))
        job.opts = {"attempts": core.attempts, **opts}
        job.delay = opts.get("delay") or 0
        return job

    @staticmethod
    async def fromId(queue: Owner, jobId: str) -> Job | None:
        """Return a job of a queue by its id; None if there is none."""
        found = await queue.link.read(reading.read(queue.link.queue, str(jobId)))
        return None if found is None else Job.read(queue, found)

    @property
    def parentKey(self) -> str | None:
        """The parent, by queue and id."""
        above = self.parent
        return None if not above else f"{above.get('queue')}:{above.get('id')}"

    def _missing(self, command: str) -> TypeError:
        return TypeError(f"Missing key for job {self.id}. {command}")

    async def _number(self, command: str) -> int:
        if self.number is None:
            op = reading.number_of(self.link.queue, str(self.id))
            self.number = await self.link.read(op)
        if self.number is None:
            raise self._missing(command)
        return self.number

    async def updateProgress(self, progress: Any) -> None:
        """Store how far the job is: a number or a dict."""
        number = await self._number("updateProgress")
        check_json(progress)
        try:
            if self.claim is not None and not self.claim.settled:
                await self.link.run(save_progress(self.claim, progress))
            else:
                op = reading.set_progress(self.link.queue, number, progress)
                await self.link.run(op)
        except JobNotFound:
            raise self._missing("updateProgress") from None
        self.progress = progress

    async def updateData(self, data: Any) -> None:
        """Replace the data; the next run has it."""
        number = await self._number("updateData")
        check_json(data)
        try:
            if self.claim is not None and not self.claim.settled:
                await self.link.run(save_data(self.claim, data))
            else:
                await self.link.run(reading.set_data(self.link.queue, number, data))
        except JobNotFound:
            raise self._missing("updateData") from None
        self.data = data

    async def log(self, logRow: str) -> int:
        """Add a line to the log; return how many it has now.

        Raises:
            LeaseLost: the job runs here, and its lock has ended.
        """
        number = await self._number("addLog")
        queue, text = self.link.queue, str(logRow)
        try:
            if self.claim is not None and not self.claim.settled:
                await self.link.run(save_log(self.claim, text))
                return await self.link.read(reading.count_logs(queue, number))
            return await self.link.run(reading.log(queue, number, text))
        except JobNotFound:
            raise self._missing("addLog") from None

    async def getState(self) -> str:
        """Return the state, or `unknown`."""
        found = await self.link.read(reading.read(self.link.queue, str(self.id)))
        return "unknown" if found is None else reading.state_name(found.job)

    async def isActive(self) -> bool:
        """Return whether it runs."""
        return await self.getState() == "active"

    async def isCompleted(self) -> bool:
        """Return whether it has completed."""
        return await self.getState() == "completed"

    async def isFailed(self) -> bool:
        """Return whether it has failed for good."""
        return await self.getState() == "failed"

    async def isDelayed(self) -> bool:
        """Return whether it is delayed."""
        return await self.getState() == "delayed"

    async def isWaiting(self) -> bool:
        """Return whether it waits."""
        return await self.getState() == "waiting"

    async def isWaitingChildren(self) -> bool:
        """Return whether it waits for children."""
        return await self.getState() == "waiting-children"

    async def promote(self) -> None:
        """Let a delayed job run now."""
        number = await self._number("promote")
        try:
            await self.link.run(control.promote(self.link.queue, number))
        except JobNotFound:
            raise self._missing("promote") from None
        self.delay = 0

    async def changePriority(self, opts: Mapping[str, Any]) -> None:
        """Give a job that has not started another priority."""
        check_options("changePriority", opts)
        number = await self._number("changePriority")
        priority, lifo = opts.get("priority") or 0, bool(opts.get("lifo"))
        priority = check_whole("priority", priority, 0, MAX_PRIORITY)
        op = control.change_priority(self.link.queue, number, priority, lifo=lifo)
        await self.link.run(op)
        self.priority = priority

    async def changeDelay(self, delay: int) -> None:
        """Count the delay of a delayed job anew."""
        number = await self._number("changeDelay")
        after = check_millis("delay", delay) / 1000
        await self.link.run(control.change_delay(self.link.queue, number, after))
        self.delay = delay

    async def remove(self, opts: Mapping[str, Any] | None = None) -> None:
        """Remove a job that is not active.

        Raises:
            JobStateError: it is active.
        """
        asked = check_options("remove", opts)
        children = bool(asked.get("removeChildren", True))
        if self.number is None and self.id is None:
            return
        number = await self._number("remove")
        try:
            await self.link.run(jobs.remove(self.link.queue, number, children=children))
        except JobStateError as error:
            error.args = (
                f"Job {self.id} could not be removed because it is locked by another "
                "worker",
            )
            raise

    async def retry(
        self, state: str = "failed", opts: Mapping[str, Any] | None = None
    ) -> None:
        """Put a finished job back to waiting.

        Raises:
            JobStateError: it is not in that state.
        """
        asked, state = check_options("retry", opts), reading.check_finished(state)
        reset = bool(asked.get("resetAttemptsMade"))
        number = await self._number("reprocessJob")
        try:
            await self.link.run(
                reading.retry(self.link.queue, number, state, reset=reset)
            )
        except JobNotFound:
            raise self._missing("reprocessJob") from None
        self.failedReason = self.returnvalue = None
        self.processedOn = self.finishedOn = None
        if reset:
            self.attemptsMade = 0
        if asked.get("resetAttemptsStarted"):
            self.attemptsStarted = 0

    async def moveToCompleted(
        self, return_value: Any, token: str, fetchNext: bool = False
    ) -> list[Any] | None:
        """Complete a job that was claimed under *token*."""
        return await complete(
            find_claim(self, token), self, return_value, next=fetchNext
        )

    async def moveToFailed(
        self, err: BaseException, token: str, fetchNext: bool = False
    ) -> list[Any] | None:
        """Fail this run of a job that was claimed under *token*."""
        return await fail(find_claim(self, token), self, err, next=fetchNext)

    async def moveToDelayed(self, timestamp: int, token: str | None = None) -> None:
        """Let a claimed job run again at *timestamp*; this run is no attempt.

        Its processor raises `DelayedError` then.

        Raises:
            MissingLock: it is not held here, or under another token.
        """
        claim = find_claim(self, token or self.token, "moveToDelayed")
        await delay_until(claim, self, timestamp)

    async def moveToWaitingChildren(
        self, token: str, opts: Mapping[str, Any] | None = None
    ) -> bool:
        """Let the job wait if children are pending; return whether it does."""
        claim = find_claim(self, token)
        number = await self._number("moveToWaitingChildren")
        if not await self.link.read(reading.is_pending(self.link.queue, number)):
            return False
        await wait_for_children(claim)
        return True

    async def getChildrenValues(self) -> dict[str, Any]:
        """Return what the completed children returned."""
        number = await self._number("getChildrenValues")
        return await self.link.read(reading.children_values(self.link.queue, number))
