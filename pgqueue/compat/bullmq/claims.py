"""What a worker holds: its identities in the database, and the jobs it claimed."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from pgqueue.db.pool import aprobe
from pgqueue.ops import leases
from pgqueue.worker.active_job import ActiveJob
from pgqueue.worker.finisher import Finisher
from pgqueue.worker.finishing import Ended
from pgqueue.worker.intake import Intake
from pgqueue.worker.plan import lock_limits, plan
from pgqueue.worker.session import PLAN, Session, SessionLost

if TYPE_CHECKING:
    from pgqueue.compat.bullmq.link import Link
    from pgqueue.ops.core import Row
    from pgqueue.types import Keep
    from pgqueue.worker.emitter import Emitter


@dataclass(eq=False)
class Claim:
    """A job under the lease of one identity of a worker.

    Attributes:
        settled: its outcome was written; nothing more may be.
    """

    core: ActiveJob
    worker_id: int
    token: str
    holder: Holder
    settled: bool = False
    began: float = field(default_factory=time.monotonic)


held: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, int], Claim]
held = WeakValueDictionary()
"""The claims of this process, by loop and job."""


class Holder:
    """Claims jobs of one queue, and keeps their leases.

    Args:
        lease: seconds that a job stays claimed without a renewal.
    """

    def __init__(
        self,
        link: Link,
        emitter: Emitter,
        *,
        lease: float,
        name: str | None,
        keeps: tuple[Keep | None, Keep | None],
    ) -> None:
        self.link = link
        self.finisher = Finisher(emitter, *keeps)
        self.claims: dict[int, Claim] = {}
        self.intake: Intake | None = None
        self.owner: Any = None
        self._lease = lease
        self._name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._session = Session(link.settings)
        self._lock = asyncio.Lock()
        self._identity = 0

    @property
    def queue_id(self) -> int:
        """The id of the queue, once a claim was tried."""
        return self.intake.queue_id if self.intake is not None else 0

    async def register(self) -> int:
        """Return the identity to claim under, announced."""
        if not self._identity:
            identity = secrets.randbits(62) + 1
            if self.intake is None:
                await aprobe(self.link.settings)
            op = leases.register(
                identity,
                lease=self._lease,
                pid=os.getpid(),
                concurrency=1,
                host=socket.gethostname(),
                name=self._name,
                queues=[self.link.queue],
            )
            found = await self.link.read(op)
            if self.intake is None:
                self.intake = Intake(self.link.queue, found[self.link.queue])
            self._identity = identity
        return self._identity

    async def claim(self, most: int, token: str) -> list[Claim]:
        """Claim up to *most* jobs, due ones included."""
        async with self._lock:
            identity = await self.register()
            assert self.intake is not None  # noqa: S101
            now = time.monotonic()
            visits = plan(
                [self.intake],
                identity,
                want=most,
                free=most,
                now=now,
                asleep=False,
                ended=set(),
            )
            statements = [PLAN, *lock_limits(visits)]
            before = len(statements)
            for visit in visits:
                statements += visit.statements()
            try:
                answers = await self._session.exchange(statements)
            except SessionLost:
                # It may have claimed something that nobody knows: let that lease end.
                self._identity = 0
                raise
            rest, took = iter(answers[before:]), time.monotonic() - now
            rows = [row for visit in visits for row in visit.learn(rest, now, took)]
            return [self._take(row, identity, token) for row in rows]

    def _take(self, row: Row, identity: int, token: str) -> Claim:
        core = ActiveJob(self.link.queue, self.queue_id, row)
        core.traces = True
        claim = Claim(core, identity, token, self)
        self.claims[core.id] = claim
        held[asyncio.get_running_loop(), core.id] = claim
        return claim

    def drop(self, claim: Claim) -> None:
        """Forget a claim: it was settled, or given up."""
        claim.settled = True
        if self.claims.get(claim.core.id) is claim:
            del self.claims[claim.core.id]

    def give_up(self, claim: Claim) -> None:
        """Let a job go whose outcome cannot be written: its lease must end."""
        self.drop(claim)
        if claim.worker_id == self._identity:
            self._identity = 0

    def next_look(self) -> float:
        """Return the seconds until a delayed job is due, or may be."""
        if self.intake is None:
            return 0.0
        return max(0.0, self.intake.due_at - time.monotonic())

    async def renew(self) -> list[Claim]:
        """Extend the leases; return the claims that are still this worker's."""
        wanted = {claim.worker_id for claim in self.claims.values()}
        alive = set()
        for identity in wanted | ({self._identity} if self._identity else set()):
            if await self.link.read(leases.renew(identity)):
                alive.add(identity)
            elif identity == self._identity:
                self._identity = 0
        return [one for one in self.claims.values() if one.worker_id in alive]

    async def cancelled(self) -> set[int]:
        """Return the jobs that run here and that `Queue.cancel` asked to stop."""
        found: set[int] = set()
        for identity in {claim.worker_id for claim in self.claims.values()}:
            op = leases.look_for_cancelled(identity)
            found.update(await self.link.read(op))
        return found

    def ended(self, claim: Claim, outcome: Any) -> Ended:
        """Return what the finisher writes."""
        return Ended(claim.core, outcome, time.monotonic() - claim.began)

    async def close(self) -> None:
        """Sign off, if nothing is held, and close the connections."""
        async with self._lock:
            identity, self._identity = self._identity, 0
            await self._session.close()
        if identity and not self.claims:
            await self.link.read(leases.sign_off(identity))
        await self.link.close()
