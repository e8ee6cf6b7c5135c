"""Operations on flows: add a tree, look at one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pgqueue import options, payload
from pgqueue.errors import ConfigError, JobNotFound, KeyTaken, LeaseLost
from pgqueue.ops.bulk import BULK_BYTES, BULK_ROWS
from pgqueue.ops.core import Op, Statement, atomic
from pgqueue.ops.jobs import add_encoded, find, from_row, gone, snapshot
from pgqueue.ops.queues import queue_id
from pgqueue.ops.releasing import Parent
from pgqueue.parents import check_policy
from pgqueue.types import Dedup, FlowJob, FlowNode, Job, JsonValue

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEPEST: Final = 100


@dataclass(slots=True)
class Planted:
    """A node on its way into the database."""

    node: FlowNode
    parent: Parent | None
    element: str
    root: bool = False
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
    check_policy(node.on_child_failure)
    if depth and node.dedup is not None:
        raise ConfigError(
            f"node {node.name!r}: a child of a flow takes no dedup; give the root a key, "
            "and adding the flow twice is harmless"
        )
    children: object = node.children
    if isinstance(children, (str, bytes)) or not isinstance(children, Sequence):
        raise ConfigError.bad("children", children, "a list of FlowNode items")
    if children and isinstance(node.dedup, Dedup) and node.dedup.keep_last_if_active:
        raise ConfigError(
            f"node {node.name!r}: a job with children cannot be kept back, because it "
            "would run without them; leave keep_last_if_active out"
        )
    for child in node.children:
        check_flow(child, limit, depth + 1)


@atomic
def add_flows(
    roots: Sequence[FlowNode], limit: int, parent: Parent | None = None
) -> Op[list[FlowJob]]:
    """Add whole trees; parents wait for their children from the first moment.

    One statement adds the nodes of one level and queue, up to a bound.

    Raises:
        KeyTaken: a child's key is another job's; nothing is added.
    """
    planted = [plant(root, parent, limit, root=True) for root in roots]
    ids: dict[str, int] = {}
    level = planted
    while level:
        by_queue: dict[str, list[Planted]] = {}
        for one in level:
            by_queue.setdefault(one.node.queue, []).append(one)
        level = []
        # In one order, so that two flows with keys never wait for each other.
        for queue in sorted(by_queue):
            if queue not in ids:
                ids[queue] = yield from queue_id(queue)
            for group in slices(by_queue[queue]):
                level += yield from add_group(queue, ids[queue], group, limit)
    return [one.grown() for one in planted]


def add_group(
    queue: str, in_queue: int, group: list[Planted], limit: int
) -> Op[list[Planted]]:
    """Add nodes of one queue; return their children, which come next."""
    following: list[Planted] = []
    while group:
        added = yield from add_encoded(queue, [one.element for one in group])
        vanished: list[Planted] = []
        for one, result in zip(group, added, strict=True):
            if result.gone:
                one.job = gone(queue, one.node.job(), result)
                continue
            if result.existing:
                one.job = yield from find(queue, result.id)
                if one.job is None:
                    vanished.append(one)
                elif not one.root:
                    # That job has a life of its own, and perhaps another parent.
                    raise KeyTaken(result.id, queue, str(one.node.key))
                # A root: the flow is there, with its children.
                continue
            one.job = snapshot(
                queue,
                one.node.job(),
                result,
                blocked=bool(one.node.children),
                parent_id=one.parent.job_id if one.parent else None,
            )
            here = Parent(in_queue, result.id)
            one.children = [plant(child, here, limit) for child in one.node.children]
            following += one.children
        # Removed since the key was looked at: it is free again.
        group = vanished
    return following


def slices(nodes: list[Planted]) -> Iterator[list[Planted]]:
    """Return nodes in groups that bound what one statement carries."""
    group: list[Planted] = []
    size = 0
    for one in nodes:
        group.append(one)
        size += len(one.element)
        if len(group) == BULK_ROWS or size >= BULK_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def plant(
    node: FlowNode, parent: Parent | None, limit: int, *, root: bool = False
) -> Planted:
    """Return one node, encoded as `pgqueue.add_jobs` takes it."""
    element = options.encode_job(node.job(), limit)
    extra: dict[str, JsonValue] = {}
    if parent is not None:
        extra["parent"] = {"queue_id": parent.queue_id, "id": parent.job_id}
        extra["on_child_failure"] = node.on_child_failure
    if node.children:
        extra["blocked"] = True
    if extra:
        element = f"{element[:-1]},{json.dumps(extra)[1:]}"
    return Planted(node, parent, element, root)


@atomic
def add_child(lease_id: int, here: Parent, node: FlowNode) -> Op[FlowJob]:
    """Add a tree under a job that runs, if its worker's lease still lists it."""
    params = {"queue_id": here.queue_id, "lease_id": lease_id, "job_id": here.job_id}
    held = yield Statement("hold_lease", params)
    if not held:
        raise LeaseLost(here.job_id)
    [added] = yield from add_flows([node], payload.MAX_BYTES, here).op
    return added


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
) -> Op[FlowJob]:
    """Return a job with its children, down to *depth*, at most *limit* of each.

    Two kinds of statements, whatever the size: one finds the tree, and one for each
    queue reads its jobs.
    """
    params = {
        "queue": queue,
        "job_id": job_id,
        "depth": depth,
        "limit": limit,
        "after": after,
    }
    rows = yield Statement("list_tree", params)
    by_queue: dict[str, list[int]] = {}
    for _, its_queue, its_id in rows:
        by_queue.setdefault(its_queue, []).append(its_id)
    jobs: dict[int, Job] = {}
    for its_queue, ids in by_queue.items():
        found = yield Statement("get_jobs", {"queue": its_queue, "job_ids": ids})
        jobs.update((row[0], from_row(its_queue, row)) for row in found)
    below: dict[int | None, list[int]] = {}
    for parent_id, _, its_id in rows:
        below.setdefault(parent_id, []).append(its_id)
    if job_id not in jobs:
        raise JobNotFound(job_id, queue)

    def grow(root: int) -> FlowJob:
        children = [child for child in below.get(root, []) if child in jobs]
        return FlowJob(jobs[root], tuple(grow(child) for child in children))

    return grow(job_id)
