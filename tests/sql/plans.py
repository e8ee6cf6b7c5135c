"""Plan a statement as a prepared one is planned once and for all, and read the plan."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from psycopg import sql as composing

from pgqueue import sql as statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from psycopg import Connection

PARAMETER = re.compile(r"%\((\w+)\)s")

LOWEST, HIGHEST = (-1, -(2**63)), (2**31 - 1, 2**63 - 1)

PARAMETERS: dict[str, dict[str, Any]] = {
    "get_job": {"queue": "paint", "job_id": 7},
    "get_jobs": {"queue": "paint", "job_ids": [7]},
    "list_offspring": {"queue": "paint", "job_ids": [7, 8]},
    "list_tree": {"queue": "paint", "job_id": 7, "depth": 9, "limit": 9, "after": 0},
    "find_released": {"queue_id": 0, "job_id": 0, "limit": 100},
    "drain_blocked": {"queue_id": 1, "after": 0, "limit": 100},
    "list_waiting": {"queue": "paint", "low": 0, "high": 0, "key": -1, "id": 0}
    | {"limit": 101, "offset": 0},
    "list_delayed": {"queue": "paint", "key": -1, "id": 0, "limit": 101, "offset": 0},
    "list_active": {"queue": "paint", "key": -1, "id": 0, "limit": 101, "offset": 0},
    "list_finished": {"queue": "paint", "state": "failed", "key": 253370764800000000}
    | {"id": 0, "limit": 101, "offset": 0},
    "remove_jobs": {"queue": "paint", "job_ids": [7, 8], "waiting": True}
    | {"delayed": True, "blocked": True, "finished": ["completed", "failed"]},
    "retry_job": {"queue": "paint", "job_id": 7, "states": ["completed", "failed"]}
    | {"reset": False},
    "retry_jobs": {"queue_id": 1, "state": "failed", "before": "2090-01-01"}
    | {"after": "0001-01-01", "after_id": 0, "batch": 50, "limit": 50, "name": None}
    | {"reset": False, "defer": True},
    "promote_job": {"queue": "paint", "job_id": 7},
    "promote_delayed": {"queue_id": 1, "after": 0, "last": 2**40, "limit": 50},
    "change_delay": {"queue": "paint", "job_id": 7, "delay": 5.0},
    "change_priority": {"queue": "paint", "job_id": 7, "priority": 3, "lifo": False},
    "update_data": {"queue": "paint", "job_id": 7, "data": "{}"},
    "list_attempts": {"queue": "paint", "job_id": 7},
    "drain_waiting": {
        "mark": 2**62,
        "queue_id": 1,
        "priority": -1,
        "seq": 0,
        "limit": 50,
    },
    "drain_delayed": {"queue_id": 1, "after": 0, "limit": 50},
    "drain_finished": {"queue_id": 1, "after": 0, "limit": 50},
    "find_finished": {"queue": "paint", "state": "failed", "grace": 0, "limit": 50},
    "prune_finished": {"queue_id": 1, "low": 0, "limit": 50},
    "trim_finished": {"queue_id": 1, "state": "completed", "limit": 50},
    "claim_jobs": {"queue_id": 1, "worker_id": 1, "limit": 50}
    | {"from_priority": [LOWEST[0]], "from_seq": [LOWEST[1]]}
    | {"to_priority": [HIGHEST[0]], "to_seq": [HIGHEST[1]]},
    "finish_jobs": {"outcomes": '[{"lease": 1, "job": 7, "state": "removed"}]'}
    | {"queue_ids": [1], "worker_id": 1, "lease_ids": [1]},
    "remove_completed": {"queue_ids": [1], "worker_id": 1, "lease_ids": [1]}
    | {"leases": [1], "jobs": [7]},
    "promote_jobs": {"queue_id": 1, "low": 0, "limit": 50},
    "next_due": {"queue_id": 1, "low": 0},
    "claim_limited": {"queue_id": 1, "worker_id": 1, "limit": 50}
    | {"from_priority": [LOWEST[0]], "from_seq": [LOWEST[1]]}
    | {"to_priority": [HIGHEST[0]], "to_seq": [HIGHEST[1]]},
    "look_at_limits": {"queue_id": 1, "ring": False},
    "claim_grouped": {"queue_id": 3, "worker_id": 1, "limit": 50, "from_turn": 0}
    | {"from_priority": [LOWEST[0]], "from_seq": [LOWEST[1]]}
    | {"to_priority": [2**21], "to_seq": [0]},
    "form_line": {"queue_id": 3},
    "look_at_groups": {"queue_id": 3, "ring": False, "from_turn": 0},
    "list_groups": {"queue": "tenants", "after": "g5", "only": None, "limit": 50},
    "limit_group": {"queue_id": 3, "group": "g7", "paused": None, "concurrency": 9}
    | {"max": None, "per": None, "set_concurrency": True, "set_rate": False},
    "limit_groups": {"queue_id": 3, "concurrency": 9, "max": None, "per": None}
    | {"set_concurrency": True, "set_rate": False},
    "trim_group_rates": {"queue_id": 3, "limit": 50},
    "trim_group_holds": {"queue_id": 3, "limit": 50},
    "limit_groups_longer": {
        "queue_id": 3,
        "groups": ["g1", "g2"],
        "delays": [1.0, 2.0],
    },
    "drop_limit": {"queue_id": 3, "group": "g7"},
    "reset_queue": {"queue_id": 1},
    "read_schedules": {"queue_ids": [1], "keys": ["a"], "job_ids": [7]},
    "find_stuck_schedules": {"queue_ids": [1], "limit": 50},
    "advance_schedules": {"queue_ids": [1], "keys": ["a"], "job_ids": [7]}
    | {"instants": [None], "iterations": [1], "behinds": [0]},
    "hold_schedule": {"queue_id": 1, "key": "a"},
    "cancel_job": {"queue": "paint", "job_id": 7},
    "mark_cancelled": {"queue": "paint", "job_id": 7},
    "look_for_cancelled": {"worker_id": 1},
    "settle_cancelled": {"queue_id": 1},
    "unmark_cancelled": {"queue_id": 1},
    "add_log": {"queue": "paint", "job_id": 7, "line": "l"},
    "save_log": {"queue_id": 1, "lease_id": 1, "job_id": 7, "line": "l", "keep": 5},
    "list_logs": {"queue": "paint", "job_id": 7, "after": 0, "start": 0, "limit": 50},
    "count_logs": {"queue": "paint", "job_id": 7},
    "sweep_traces": {"queue_id": 1, "after": 0, "limit": 50},
    "expire_dedup": {"queue_id": 1, "limit": 50},
    "find_dedup": {"queue": "paint", "dedup_id": "d"},
    "free_dedup": {"queue": "paint", "dedup_id": "d"},
    "settle_dedup": {"queue_id": 1, "job_ids": [7]},
    "note_event": {"queue": "paint", "name": "n", "data": None},
    "subscribe": {"queue_id": 1, "consumer": "c", "begin": True},
    "read_events": {"queue_id": 1, "consumer": "c", "xid": 0, "event_id": 0}
    | {"limit": 50},
    "save_place": {"queue_id": 1, "consumer": "c", "xid": 1, "event_id": 1}
    | {"told": False},
    "find_ending": {"queue_id": 1, "job_id": 7, "xid": 0, "event_id": 0},
    "note_drained": {"queue_id": 1},
    "list_gone_waiters": {"queue_id": 1},
    "list_paused": {"queue_ids": [1]},
    "get_retention": {"queue": "paint"},
    "trim_events": {"queue_id": 1, "by_count": True, "limit": 50},
    "count_pending": {"queue": "paint", "job_id": 7},
    "find_expired": {"queue": "paint", "grace": 0, "limit": 50},
    "find_kept_back": {"queue_id": 1, "limit": 50},
    "find_upkeep": {"queue_ids": [1, 2, 3], "lows": [0.0, 0.0, 0.0]},
    "find_key": {"queue": "paint", "key": "key-100"},
    "list_blocked": {"queue": "paint", "key": -1, "id": 0, "limit": 101, "offset": 0},
    "list_followed": {"queue_ids": [1]},
    "list_leases": {"queue_ids": [1], "worker_id": 1},
    "list_results": {"queue": "paint", "job_id": 7},
    "list_settled": {"queue_id": 1, "job_id": 7, "state": "failed"},
    "list_stacks": {"queue": "paint", "job_ids": [7, 8]},
    "name_jobs": {"queue": "paint", "job_ids": [7, 8]},
    "describe_jobs": {"queue_id": 1, "job_ids": [7, 8]},
    "read_ending": {"queue_id": 1, "job_id": 7},
    # It finds all 500 leases.
    "recover_jobs": {"max_stalled": 1, "reason": "r", "limit": 500},
    "save_data": {"queue_id": 1, "lease_id": 1, "job_id": 7, "data": "{}"},
    "save_progress": {"queue_id": 1, "lease_id": 1, "job_id": 7, "value": "1"}
    | {"worker_id": 1},
    "set_progress": {"queue": "paint", "job_id": 7, "value": "1"},
    "trim_attempts": {"queue_id": 1, "job_ids": [7], "limits": [3]},
}

READ_THROUGH = {
    "count_backlog": "counts, along an index without the table",
    "count_jobs": "counts, along an index without the table",
    "count_priorities": "counts, along an index without the table",
    "find_delayed": "finds the oldest of all that are delayed, once a clean",
    "find_occurrence": "may look for one that has begun, which is rare",
    "find_waiting": "finds the oldest of all that wait, once a clean",
    "forget_groups": "removes what an obliterated queue has, which may be most of it",
    "list_added": "reads what the transaction of a test has added",
    "search_jobs": "looks at no more jobs than it was allowed to",
    "shift_calendar": "moves the jobs of the schedules of a test",
    "shift_clock": "moves the times of all jobs of a test",
}
"""Statements on large tables that are not held to a plan, and why."""

ADD_PARTS = {
    "the key of add_jobs": "SELECT j.id FROM pgqueue.job j"
    " WHERE j.queue_id = %(queue_id)s AND j.key = %(key)s",
    "the queue of add_jobs": "SELECT q.id FROM pgqueue.queue q WHERE q.name = %(name)s",
}


class Prepared:
    """Prepares statements on a connection and explains their execution later."""

    def __init__(self, connection: Connection[Any]) -> None:
        self.connection = connection
        self._names: dict[str, list[str]] = {}

    def prepare(self, name: str, text: str, params: Mapping[str, Any]) -> None:
        """Prepare a statement, and make its generic plan."""
        names = list(dict.fromkeys(PARAMETER.findall(text)))
        numbered = PARAMETER.sub(lambda m: f"${names.index(m[1]) + 1}", text)
        self.connection.execute(f"PREPARE {name} AS {numbered}".encode())
        self._names[name] = names
        self._explain(name, params, "FORMAT JSON")

    def execute(self, name: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Execute a statement and return the plan with what it really did."""
        return self._explain(name, params, "ANALYZE, FORMAT JSON")

    def explain(self, name: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the plan that an execution would use."""
        return self._explain(name, params, "FORMAT JSON")

    def _explain(
        self, name: str, params: Mapping[str, Any], how: str
    ) -> dict[str, Any]:
        values = [composing.Literal(params[each]) for each in self._names[name]]
        call = composing.SQL("EXPLAIN ({}) EXECUTE {}({})").format(
            composing.SQL(how),  # type: ignore[arg-type]
            composing.Identifier(name),
            composing.SQL(", ").join(values),
        )
        row = self.connection.execute(call).fetchone()
        assert row is not None
        found: dict[str, Any] = row[0][0]["Plan"]
        return found


def plan(
    connection: Connection[Any],
    text: str,
    params: Mapping[str, Any],
    *,
    generic: bool = True,
) -> dict[str, Any]:
    """Return the generic plan of a statement, or the one for these parameters."""
    mode = "force_generic_plan" if generic else "force_custom_plan"
    connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
    prepared = Prepared(connection)
    prepared.prepare("planned", text, params)
    found = prepared.explain("planned", params)
    connection.execute("DEALLOCATE planned")
    return found


def plan_by_index(connection: Connection[Any]) -> None:
    """Do what a worker does in each of its transactions."""
    connection.execute(statements.load("plan_by_index"))


def nodes(top: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Go through a plan, from the top."""
    yield top
    for child in top.get("Plans", ()):
        yield from nodes(child)


def full_scans(top: dict[str, Any]) -> list[str]:
    """Return the tables that a plan reads from the first row to the last."""
    return [
        node["Relation Name"] for node in nodes(top) if node["Node Type"] == "Seq Scan"
    ]


def sorted_tables(top: dict[str, Any]) -> list[str]:
    """Return the tables whose rows a plan sorts itself."""
    return [
        below["Relation Name"]
        for node in nodes(top)
        if node["Node Type"] in ("Sort", "Incremental Sort")
        for below in own_nodes(node)
        if "Relation Name" in below
    ]


def own_nodes(top: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Go through a plan, but not into what is only computed before it."""
    yield top
    for child in top.get("Plans", ()):
        if child.get("Parent Relationship") not in ("InitPlan", "SubPlan"):
            yield from own_nodes(child)


FEW = {"recover_jobs": {"lease", "worker"}, "find_upkeep": {"lease", "worker"}}
"""Tables that a statement does read through: as many rows as there are claims."""

LOOKED_UP = {"job": "(id|key)", "attempt": "job_id", "progress": "job_id"}

WALKED = {
    "sweep_traces": ["((queue_id = $1) AND (job_id > $2))"],
    "find_upkeep": ["(queue_id = a.queue_id)"],
}
"""Where a statement does walk over one of these tables: a batch at a time, or a step."""


def blind_lookups(top: dict[str, Any]) -> list[str]:
    """Return the index conditions that find a queue's bodies, but not which of them."""
    return [
        node.get("Index Cond", node["Node Type"])
        for node in nodes(top)
        if (column := LOOKED_UP.get(node.get("Relation Name", "")))
        and node["Node Type"].startswith("Index")
        and not re.search(rf"\b{column} = ", node.get("Index Cond", ""))
    ]


def rows_read(top: dict[str, Any]) -> float:
    """Return how many rows of tables an executed plan looked at."""
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        * node["Actual Loops"]
        for node in nodes(top)
        if node["Node Type"].endswith("Scan") and "Relation Name" in node
    )
