"""`FlowProducer`: trees of jobs, added in one transaction."""

from __future__ import annotations

import uuid
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from pgqueue.compat.bullmq import reading
from pgqueue.compat.bullmq.custom_errors import MissingParent
from pgqueue.compat.bullmq.emitter import EventEmitter
from pgqueue.compat.bullmq.job import Job
from pgqueue.compat.bullmq.known import check_options
from pgqueue.compat.bullmq.link import Link
from pgqueue.compat.bullmq.options import new_job, policy, qualified_name
from pgqueue.compat.bullmq.unsupported import ENDPOINT, Explained
from pgqueue.errors import JobNotFound
from pgqueue.ops import flows, queues
from pgqueue.ops.releasing import Parent
from pgqueue.types import FlowNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pgqueue.ops.core import Op
    from pgqueue.types import FlowJob

ALONE = {"prefix", "connection", "backend", "skipVersionCheck"}
"""Options that tell a single dict of options from one that is a connection."""

PLACE = ("queue", "children", "on_child_failure")


class Place:
    """A queue that a job of a flow is in."""

    def __init__(self, name: str, opts: dict[str, Any]) -> None:
        self.name = name
        self.opts = opts
        self.link = Link(name, opts)
        self.qualifiedName = self.link.queue


class Plan:
    """A node of a flow, with its options as they count, and its children."""

    def __init__(
        self,
        producer: FlowProducer,
        node: Mapping[str, Any],
        defaults: Mapping[str, Any],
    ) -> None:
        check_options("flow", node)
        self.queue_name: str = node.get("queueName", "")
        self.prefix: str = node.get("prefix", producer.prefix)
        self.name: str = node.get("name", "")
        self.data = node.get("data")
        queue = defaults.get(self.queue_name) or {}
        self.opts = {
            **(queue.get("defaultJobOptions") or {}),
            **(node.get("opts") or {}),
        }
        self.children = [
            Plan(producer, child, defaults) for child in node.get("children") or ()
        ]

    @property
    def queue(self) -> str:
        """The queue as pgqueue calls it."""
        return qualified_name(self.prefix, self.queue_name)

    def node(self) -> FlowNode:
        """Return it as `AsyncFlowProducer` takes it."""
        new = new_job(self.name, self.data, self.opts)
        own = {
            one.name: getattr(new, one.name)
            for one in fields(FlowNode)
            if one.name not in PLACE
        }
        return FlowNode(
            **own,
            queue=self.queue,
            on_child_failure=policy(self.opts),
            children=[child.node() for child in self.children],
        )

    def queues(self) -> set[str]:
        """Return the queues of the whole tree."""
        return {self.queue}.union(*(child.queues() for child in self.children))


class FlowProducer(EventEmitter, Explained):
    """Adds flows; what goes wrong is raised, so that its listeners hear nothing.

    Args:
        redisOpts: a PostgreSQL DSN, `{}`, or the options if there is no second argument.
        opts: `prefix`, `connection`.
    """

    def __init__(
        self, redisOpts: Any = None, opts: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        given = dict(opts or {})
        alone = opts is None and isinstance(redisOpts, dict)
        if alone and ALONE & set(redisOpts):
            given, redisOpts = dict(redisOpts), None
        if redisOpts:
            given["connection"] = redisOpts
        check_options("flow producer", given, ENDPOINT)
        self.opts = given
        self.prefix: str = given.get("prefix", "bull")
        self.closing = False
        self._link = Link("flow", given)
        self._places: dict[tuple[str, str], Place] = {}

    async def add(
        self, flow: Mapping[str, Any], opts: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """Add a job with all that it waits for; None once the producer is closed.

        Raises:
            MissingParent: the root's parent does not exist; nothing was added.
        """
        if self.closing:
            return None
        planned = Plan(self, flow, (opts or {}).get("queuesOptions") or {})
        [tree] = await self._add([planned])
        return tree

    async def addBulk(
        self, flows: Sequence[Mapping[str, Any]], opts: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]] | None:
        """Add several flows; one under a parent that does not exist is not added."""
        if self.closing:
            return None
        defaults = (opts or {}).get("queuesOptions") or {}
        planned = [Plan(self, flow, defaults) for flow in flows]
        plain = [one for one in planned if not one.opts.get("parent")]
        trees = dict(zip(map(id, plain), await self._add(plain), strict=True))
        for one in planned:
            if id(one) not in trees:
                try:
                    [trees[id(one)]] = await self._add([one])
                except MissingParent:
                    trees[id(one)] = self._unadded(one)
        return [trees[id(one)] for one in planned]

    async def _add(self, planned: Sequence[Plan]) -> list[dict[str, Any]]:
        if not planned:
            return []
        above: Parent | None = None
        parent: dict[str, Any] = planned[0].opts.get("parent") or {}
        if parent:
            above = await self._link.read(parent_of(parent))
        nodes = [one.node() for one in planned]
        for node in nodes:
            flows.check_flow(node, self._link.size_limit)
        op = flows.add_flows(nodes, self._link.size_limit, above)
        touched = set().union(*(one.queues() for one in planned))
        try:
            added = await self._link.run(op, *touched)
        except JobNotFound:
            # Removed since it was looked at.
            queue, job_id = str(parent.get("queue")), str(parent.get("id"))
            raise MissingParent(queue, job_id) from None
        return [
            self._tree(one, found) for one, found in zip(planned, added, strict=True)
        ]

    def _place(self, planned: Plan) -> Place:
        key = (planned.prefix, planned.queue_name)
        if key not in self._places:
            opts = {**self.opts, "prefix": planned.prefix}
            self._places[key] = Place(planned.queue_name, opts)
        return self._places[key]

    def _tree(self, planned: Plan, found: FlowJob) -> dict[str, Any]:
        job = Job.added(self._place(planned), found.job, planned.opts)
        job.data = planned.data
        tree: dict[str, Any] = {"job": job}
        if found.children:
            tree["children"] = [
                self._tree(child, below)
                for child, below in zip(planned.children, found.children, strict=True)
            ]
        return tree

    def _unadded(self, planned: Plan) -> dict[str, Any]:
        job = Job(self._place(planned), planned.name, planned.data, planned.opts)
        job.id = str(planned.opts.get("jobId") or uuid.uuid4())
        tree: dict[str, Any] = {"job": job}
        if planned.children:
            tree["children"] = [self._unadded(child) for child in planned.children]
        return tree

    async def close(self) -> None:
        """Add nothing more, and let go of the connections."""
        self.closing = True
        for place in self._places.values():
            await place.link.close()
        await self._link.close()


def parent_of(parent: dict[str, Any]) -> Op[Parent]:
    """Return a parent as flows name it."""
    queue, number = yield from reading.parent_place(parent)
    in_queue = yield from queues.queue_id(queue)
    return Parent(in_queue, number)
