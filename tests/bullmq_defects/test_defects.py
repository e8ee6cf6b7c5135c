"""What must hold here where BullMQ's PostgreSQL backend was found to fail.

The numbers are those of the list of thirty that its review made. Each that can happen to
pgqueue names the tests that would notice it; the others say why not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from claims import HandWorker
from following import nothing_holds_back
from pgqueue import NewJob, Queue, QueueEvents
from pgqueue.db.run import run
from pgqueue.ops import events, maintenance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Sql

TESTS = Path(__file__).parents[1]
HERE = "bullmq_defects/test_defects.py"
AROUND = "bullmq_defects/test_around.py"

HELD: dict[int, tuple[str, ...]] = {
    # Events
    1: (
        "events/test_events.py::test_what_commits_late_is_not_skipped",
        "events/test_load.py::"
        "test_every_follower_sees_every_transition_once_and_in_order",
    ),
    5: (
        "events/test_events.py::"
        "test_drained_is_told_once_when_the_last_two_finish_at_the_same_time",
    ),
    9: (f"{HERE}::test_trimming_the_events_of_a_queue_keeps_those_of_another",),
    10: (
        f"{HERE}::test_a_job_that_waits_again_is_told_after_it_stalled",
        f"{AROUND}::test_a_run_that_waits_for_children_is_told",
        "events/test_events.py::"
        "test_a_job_that_ends_has_one_terminal_event_with_its_outcome",
    ),
    11: (
        "worker/test_doorbell.py::"
        "test_an_add_that_looked_before_the_worker_slept_is_found_at_its_commit",
        "worker/test_doorbell.py::"
        "test_without_its_listener_a_worker_polls_until_it_is_back",
    ),
    # Whole queues
    2: (
        "limits/test_idle.py::"
        "test_an_idle_worker_sleeps_while_the_queue_is_at_its_limit",
    ),
    3: (
        "queue/test_seed.py::"
        "test_clean_never_removes_an_active_job_under_a_valid_lease",
        "queue/test_races.py::test_a_worker_that_renews_is_never_cleaned",
    ),
    4: (
        "queue/test_flow_removal.py::"
        "test_obliterate_removes_parents_that_wait_and_settles_in_other_queues",
    ),
    6: (
        "queue/test_seed.py::test_count_counts_the_jobs_of_a_paused_queue",
        "compat/test_queue.py::test_the_jobs_of_a_paused_queue_are_waiting",
    ),
    7: ("queue/test_flows.py::test_a_retried_child_is_waited_for_again",),
    8: (
        "queue/test_control.py::test_retry_keeps_the_attempts_unless_told",
        "queue/test_control.py::"
        "test_retry_all_takes_no_job_twice_that_fails_again_meanwhile",
        f"{HERE}::test_retrying_and_promoting_many_tells_of_each",
    ),
    12: (
        "queue/test_dedup.py::test_an_id_is_free_once_its_job_was_removed",
        "queue/test_dedup.py::test_an_id_is_free_once_retention_took_its_job",
    ),
    13: (
        "queue/test_add.py::test_a_delay_counts_from_the_databases_clock",
        "worker/test_handlers.py::test_backoff_is_kept_by_the_clock_of_the_database",
        f"{AROUND}::test_no_instant_is_taken_from_the_client",
    ),
    14: (
        "queue/test_dedup.py::"
        "test_adds_of_the_same_ids_in_opposite_order_do_not_deadlock",
        "queue/test_keys.py::test_bulks_with_keys_in_opposite_order_never_deadlock",
        "queue/test_races.py::test_a_clean_of_active_jobs_and_recovery_agree",
    ),
    # Cost
    17: (
        "queue/test_retention.py::test_trimming_goes_in_batches_too",
        "queue/test_retention.py::test_rows_that_another_one_removes_are_skipped",
    ),
    18: (
        "queue/test_getters.py::test_only_the_states_asked_for_are_counted",
        "queue/test_getters.py::test_counts_walk_over_indexes_only",
    ),
    19: ("sql/test_plans.py::test_a_limit_is_exact",),
    20: (
        "worker/test_doorbell.py::test_nobody_is_rung_for_while_nobody_sleeps",
        "worker/test_doorbell.py::test_one_transaction_rings_once_a_queue",
    ),
    21: (
        "sql/test_plans.py::test_a_limit_is_exact",
        "limits/test_idle.py::test_a_queue_without_limits_costs_no_statement_more",
    ),
    22: (
        "worker/test_hints.py::test_a_held_snapshot_does_not_make_claims_dear",
        f"{AROUND}::test_what_changes_while_jobs_run_is_in_no_index",
    ),
    23: (f"{HERE}::test_adding_many_makes_no_temporary_table",),
    24: (
        "worker/test_flows.py::"
        "test_ten_thousand_children_do_not_queue_up_at_their_parents_row",
    ),
    # Around it
    16: (f"{HERE}::test_recovery_looks_at_no_job_that_is_not_active",),
    15: (
        "worker/test_history.py::"
        "test_a_job_without_its_lease_can_neither_log_nor_change_data",
        "queue/test_jobs.py::test_a_job_that_is_not_there_is_not_found",
    ),
    26: (f"{AROUND}::test_a_role_that_may_create_nothing_adds_runs_and_obliterates",),
    28: (f"{AROUND}::test_workers_of_queues_with_long_names_are_listed",),
    29: (
        "compat/test_limits.py::test_a_rate_limited_queue_waits",
        "compat/test_worker.py::test_a_paused_worker_takes_no_job_until_it_is_resumed",
        "compat/test_limits.py::test_global_limits_are_set_told_and_taken_off",
        "compat/test_queue.py::test_lists_are_in_the_stated_order",
        "compat/test_flows.py::test_a_missing_parent_is_an_error_and_in_bulk_it_is_not",
        "compat/test_events.py::test_what_happens_is_told_with_the_job_s_id",
    ),
    30: ("test_infrastructure.py::test_the_server_is_of_the_kind_that_was_asked_for",),
}

NOT_HERE: dict[int, str] = {
    25: "functions pin their search path on purpose; what workers send in a loop is "
    "plain statements",
    27: "functions are replaced by any migration",
}


def test_each_of_the_thirty_is_held_or_cannot_happen() -> None:
    assert sorted([*HELD, *NOT_HERE]) == list(range(1, 31))


@pytest.mark.parametrize(
    "place", [place for places in HELD.values() for place in places]
)
def test_what_holds_it_exists(place: str) -> None:
    file, _, name = place.partition("::")
    assert f"def {name}(" in (TESTS / file).read_text("utf-8")


@pytest.fixture
def queue(dsn: str) -> Iterator[Queue]:
    with Queue("paint", dsn=dsn) as made:
        yield made


def follow(dsn: str, queue: str = "paint") -> QueueEvents:
    made = QueueEvents(queue, "one", dsn=dsn)
    made.subscribe()
    return made


def told(dsn: str, follower: QueueEvents) -> list[tuple[str, int | None]]:
    nothing_holds_back(dsn)
    return [(event.name, event.job_id) for event in follower.follow(timeout=0.2)]


def test_retrying_and_promoting_many_tells_of_each(dsn: str, queue: Queue) -> None:
    worker = HandWorker(dsn)
    failed = [queue.add("a").id for _ in range(3)]
    worker.fail(worker.claim(3))
    delayed = [queue.add("b", delay=3600).id for _ in range(3)]
    with follow(dsn) as follower:
        assert queue.retry_all() == 3
        assert queue.promote_all() == 3
        heard = told(dsn, follower)
    assert sorted(heard) == [("waiting", job_id) for job_id in failed + delayed]
    worker.close()


def test_a_job_that_waits_again_is_told_after_it_stalled(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    job = queue.add("a")
    worker = HandWorker(dsn)
    with follow(dsn) as follower:
        worker.claim()
        worker.miss_heartbeats()
        sql.run("UPDATE pgqueue.lease SET claimed_at = claimed_at - interval '1 hour'")
        run(sql.connection, maintenance.recover(1), "pgqueue")
        heard = told(dsn, follower)
    assert heard == [("active", job.id), ("stalled", job.id), ("waiting", job.id)]
    worker.close()


def test_trimming_the_events_of_a_queue_keeps_those_of_another(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    with Queue("rare", dsn=dsn) as rare, follow(dsn), follow(dsn, "rare"):
        rare.add("a")
        # Many at once are told one by one, and count like any.
        queue.add_bulk([NewJob("b") for _ in range(50)])
        queue.set_event_bounds(count=10)
        for name in ("paint", "rare"):
            queue_id = sql.value("SELECT id FROM pgqueue.queue WHERE name = %s", [name])
            op = events.trim_events(queue_id, by_count=True)
            run(sql.connection, op, "pgqueue")
    kept = sql.all(
        "SELECT q.name, count(*) FROM pgqueue.event e"
        " JOIN pgqueue.queue q ON q.id = e.queue_id GROUP BY q.name ORDER BY q.name"
    )
    assert [tuple(row) for row in kept] == [("paint", 10), ("rare", 2)]


def test_adding_many_makes_no_temporary_table(queue: Queue, sql: Sql) -> None:
    queue.add_bulk([NewJob("a") for _ in range(2000)], connection=sql.connection)
    assert sql.value("SELECT pg_my_temp_schema()") == 0


def test_recovery_looks_at_no_job_that_is_not_active(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    queue.add_bulk([NewJob("a") for _ in range(3000)])
    worker = HandWorker(dsn)
    worker.finish(worker.claim(2000))
    sql.run("ANALYZE pgqueue.job")
    text = (Path(maintenance.__file__).parents[1] / "sql/recover_jobs.sql").read_text(
        "utf-8"
    )
    query = "EXPLAIN (ANALYZE, FORMAT JSON) " + text
    with sql.connection.transaction(force_rollback=True):
        plan = sql.value(query, {"max_stalled": 1, "reason": "gone"})
    assert '"Actual Rows": 3000' not in json.dumps(plan)
    assert '"Actual Rows": 2000' not in json.dumps(plan)
    worker.close()
