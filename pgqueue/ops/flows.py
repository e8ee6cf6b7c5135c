"""Operations on flows: add a tree, look at one, let parents go on."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from pgqueue import options, payload
from pgqueue.errors import ConfigError, LeaseLost
from pgqueue.ops.core import Op, Statement, atomic
from pgqueue.ops.jobs import Added, add_encoded, find, snapshot
from pgqueue.ops.queues import queue_id
from pgqueue.types import FlowJob, FlowNode, Job, JsonValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

POLICIES: Final = ("fail", "continue", "ignore", "remove")
DEEPEST: Final = 100


class Parent(NamedTuple):
    """A job that waits for others, or may come to."""

    queue_id: int
    job_id: int


@dataclass(slots=True)
class Planted:
    """A node on its way into the database."""

    node: FlowNode
    parent: Parent | None
    job: Job | None = None
    children: list[Planted] = field(default_factory=list)

    def grown(self) -> FlowJob:
        """Return the tree of snapshots; recursion is bounded by `check_flow`."""
        assert self.job is not None  # noqa: S101
        return FlowJob(self.job, tuple(child.grown() for child in self.children))


def check_flow(node: FlowNode, limit: int, depth: int = 0) -> None:
    """Raise for anything wrong anywhere in a tree, before any of it is sent.

    Raises:
        ConfigError: a name, an option or the shape of the tree.
        PayloadError: data that cannot be stored.
    """
    if not isinstance(node, FlowNode):
        raise ConfigError.bad("flow", node, "FlowNode(name, data, queue=…) items")
    if depth > DEEPEST:
        raise ConfigError(f"a flow may be {DEEPEST} levels deep, this one is deeper")
    options.check_name(node.queue, "queue")
    options.encode_job(node.job(), limit)
    if node.on_child_failure not in POLICIES:
        allowed = f"one of {', '.join(POLICIES)}"
        raise ConfigError.bad("on_child_failure", node.on_child_failure, allowed)
    if depth and (node.key is not None or node.dedup is not None):
        raise ConfigError(
            f"node {node.name!r}: a child of a flow takes no key and no dedup; give the "
            "root a key, and adding the flow twice is harmless"
        )
    for child in node.children:
        check_flow(child, limit, depth + 1)


@atomic
def add_flow(root: FlowNode, limit: int, parent: Parent | None = None) -> Op[FlowJob]:
    """Add a whole tree; parents wait for their children from the first moment."""
    planted = Planted(root, parent)
    ids: dict[str, int] = {}
    level = [planted]
    while level:
        following: list[Planted] = []
        by_queue: dict[str, list[Planted]] = {}
        for one in level:
            by_queue.setdefault(one.node.queue, []).append(one)
        for queue, group in by_queue.items():
            if queue not in ids:
                ids[queue] = yield from queue_id(queue)
            elements = [encode_node(one, limit) for one in group]
            added = yield from add_encoded(queue, elements)
            for one, result in zip(group, added, strict=True):
                yield from plant(one, result, ids[queue], following)
        level = following
    return planted.grown()


def plant(
    one: Planted, added: Added, in_queue: int, following: list[Planted]
) -> Op[None]:
    """Take in the answer for one node, and put its children in the next level."""
    queue = one.node.queue
    if added.existing:
        # Only a root can have a key: the flow is there already, with its children.
        one.job = yield from find(queue, added.id)
        return
    one.job = snapshot(
        queue,
        one.node.job(),
        added,
        blocked=bool(one.node.children),
        parent_id=one.parent.job_id if one.parent else None,
    )
    here = Parent(in_queue, added.id)
    one.children = [Planted(child, here) for child in one.node.children]
    following += one.children


def encode_node(one: Planted, limit: int) -> str:
    """Return one node as `pgqueue.add_jobs` takes it."""
    element = options.encode_job(one.node.job(), limit)
    extra: dict[str, JsonValue] = {}
    if one.parent is not None:
        extra["parent"] = {"queue_id": one.parent.queue_id, "id": one.parent.job_id}
        extra["on_child_failure"] = one.node.on_child_failure
    if one.node.children:
        extra["blocked"] = True
    return element if not extra else f"{element[:-1]},{json.dumps(extra)[1:]}"


@atomic
def add_child(lease_id: int, here: Parent, node: FlowNode) -> Op[FlowJob]:
    """Add a tree under a job that runs, if its worker's lease still lists it."""
    params = {"queue_id": here.queue_id, "lease_id": lease_id, "job_id": here.job_id}
    held = yield Statement("hold_lease", params)
    if not held:
        raise LeaseLost(here.job_id)
    return (yield from add_flow(node, payload.MAX_BYTES, here).op)


def release(parents: Iterable[Parent]) -> Op[list[Parent]]:
    """Let parents go on whose children have settled; return those that did.

    Must run in a transaction after the one that settled the children: of two children
    that settle at the same time each may miss the other, but the last to look does not.
    A parent that fails settles its own parent in turn.
    """
    waiting = deque(set(parents))
    released: list[Parent] = []
    while waiting:
        batch = [waiting.popleft() for _ in range(min(len(waiting), 1000))]
        params = {
            "queue_ids": [parent.queue_id for parent in batch],
            "job_ids": [parent.job_id for parent in batch],
        }
        rows = yield Statement("release_parents", params)
        for own_queue, own_id, parent_queue, parent_id in rows:
            released.append(Parent(own_queue, own_id))
            if parent_id is not None:
                waiting.append(Parent(parent_queue, parent_id))
    return released


def release_forgotten(limit: int = 1000) -> Op[int]:
    """Release parents that a worker left behind when it died at the wrong moment."""
    rows = yield Statement("find_released", {"limit": limit})
    released = yield from release([Parent(*row) for row in rows])
    return len(released)


def children_values(in_queue: int, job_id: int) -> Op[dict[int, JsonValue]]:
    """Return what completed children returned, by their ids."""
    rows = yield Statement(
        "list_settled", {"queue_id": in_queue, "job_id": job_id, "state": "completed"}
    )
    return {row[0]: payload.decode(row[1]) for row in rows}


def children_failures(in_queue: int, job_id: int) -> Op[dict[int, str]]:
    """Return why children failed that did not take their parent along."""
    rows = yield Statement(
        "list_settled", {"queue_id": in_queue, "job_id": job_id, "state": "failed"}
    )
    return {row[0]: row[2] for row in rows}


def get_flow(
    queue: str, job_id: int, depth: int, limit: int, after: int
) -> Op[FlowJob | None]:
    """Return a job with its children, down to *depth*, at most *limit* of each."""
    job = yield from find(queue, job_id)
    if job is None:
        return None
    children: list[FlowJob] = []
    if depth > 0:
        params = {"queue": queue, "job_id": job_id, "after": after, "limit": limit}
        rows: Sequence[tuple[str, int]] = yield Statement("list_children", params)
        for child_queue, child_id in rows:
            child = yield from get_flow(child_queue, child_id, depth - 1, limit, 0)
            if child is not None:
                children.append(child)
    return FlowJob(job, tuple(children))
