"""`FlowProducer` and `AsyncFlowProducer`: add trees of jobs, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pgqueue import options
from pgqueue.ops import flows
from pgqueue.shells.base import AsyncCaller, Caller
from pgqueue.shells.checks import check_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgqueue.ops.core import Atomic, Op
    from pgqueue.types import FlowJob, FlowNode

MOST: Final = 10_000
"""The most children of one job that `get` returns."""


class FlowProducer(Caller):
    """Adds flows: jobs that wait for other jobs, over any number of queues.

    Args:
        dsn: a libpq connection string or URL; by default `PGQUEUE_DSN`, then
            `DATABASE_URL`, then libpq's `PG*` variables.
        size_limit: the largest data of one job, in bytes of JSON.

    Raises:
        ConfigError: a setting is not valid. No I/O happens here.
    """

    def __enter__(self) -> FlowProducer:
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def add(self, node: FlowNode, *, connection: Any = None) -> FlowJob:
        """Add a job with all that it waits for, or nothing.

        With a `key` on the root, adding the flow again returns the job that is there,
        without children, and adds nothing.

        Args:
            connection: as for `Queue.add`.

        Raises:
            ConfigError: an option of a node is out of its range; nothing was sent.
            PayloadError: data of a node cannot be stored; nothing was sent.
        """
        [added] = self._run(make([node], self._limit), connection)
        return added

    def add_bulk(
        self, nodes: Iterable[FlowNode], *, connection: Any = None
    ) -> list[FlowJob]:
        """Add several flows, all or nothing."""
        return self._run(make(list(nodes), self._limit), connection)

    def get(
        self,
        queue: str,
        job_id: int,
        depth: int = 10,
        limit: int = 20,
        after: int = 0,
        *,
        connection: Any = None,
    ) -> FlowJob:
        """Return a job with its children, and theirs.

        Args:
            depth: how many levels below the job; 0 for the job alone.
            limit: how many children of each job at most, in the order of their ids.
            after: only children of the job with a greater id: the next page.

        Raises:
            JobNotFound: the queue has no job with this id.
        """
        return self._run(look(queue, job_id, depth, limit, after), connection)


class AsyncFlowProducer(AsyncCaller):
    """The same for asyncio, method for method."""

    async def __aenter__(self) -> AsyncFlowProducer:
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    async def add(self, node: FlowNode, *, connection: Any = None) -> FlowJob:
        """Add a job with all that it waits for, or nothing."""
        [added] = await self._run(make([node], self._limit), connection)
        return added

    async def add_bulk(
        self, nodes: Iterable[FlowNode], *, connection: Any = None
    ) -> list[FlowJob]:
        """Add several flows, all or nothing."""
        return await self._run(make(list(nodes), self._limit), connection)

    async def get(
        self,
        queue: str,
        job_id: int,
        depth: int = 10,
        limit: int = 20,
        after: int = 0,
        *,
        connection: Any = None,
    ) -> FlowJob:
        """Return a job with its children, and theirs."""
        return await self._run(look(queue, job_id, depth, limit, after), connection)


def make(nodes: list[FlowNode], limit: int) -> Atomic[list[FlowJob]]:
    """Return the operation that adds flows, once all of them are checked."""
    for node in nodes:
        flows.check_flow(node, limit)
    return flows.add_flows(nodes, limit)


def look(queue: str, job_id: int, depth: int, limit: int, after: int) -> Op[FlowJob]:
    """Return the operation that reads a flow, once its arguments are checked."""
    return flows.get_flow(
        options.check_name(queue, "queue"),
        check_id(job_id),
        options.check_int("depth", depth, 0, flows.DEEPEST),
        options.check_int("limit", limit, 1, MOST),
        options.check_int("after", after, 0, 2**63 - 1),
    )
