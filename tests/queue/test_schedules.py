"""Schedules, as a queue makes and changes them; nobody works here."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from invariants import assert_consistent
from pgqueue import ConfigError, JobState, PayloadError, Queue, ScheduleNotFound
from pgqueue import sql as statements
from pgqueue.db.run import run
from pgqueue.ops import schedules as ops
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from claims import Claimed, HandWorker
    from conftest import Sql
    from shells import Shells

HOUR = 3600.0
WAITING_FOR_A_LOCK = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest.fixture(autouse=True)
def _consistent(sql: Sql) -> Any:
    yield
    assert_consistent(sql)


def pass_time(sql: Sql, **how: float) -> None:
    """Let time pass for the pending jobs: everything was to happen so much earlier."""
    past = timedelta(**how)
    sql.run("UPDATE pgqueue.delayed SET run_at = run_at - %s", [past])
    sql.run("UPDATE pgqueue.schedule SET next_at = next_at - %s", [past])
    sql.run(
        "UPDATE pgqueue.job j SET options = (j.options::jsonb || jsonb_build_object("
        " 'scheduled_at', s.next_at))::json"
        " FROM pgqueue.schedule s WHERE s.job_id = j.id AND s.queue_id = j.queue_id"
    )


def begin(worker: HandWorker, sql: Sql) -> list[Claimed]:
    """Promote what is due, claim it, and let its schedules go on as a worker does."""
    promote(worker, sql)
    claimed = worker.claim(1000)
    advance(worker, claimed, sql)
    return claimed


def promote(worker: HandWorker, sql: Sql) -> None:
    del sql
    params = {"queue_id": worker.queue_id, "low": 0, "limit": 1000}
    worker._execute("promote_jobs", params)


def advance(worker: HandWorker, claimed: list[Claimed], sql: Sql) -> Any:
    begun = {
        ops.Begun(worker.queue_id, row.key, one.id)
        for one in claimed
        for row in sql.all(
            "SELECT options->>'schedule' AS key FROM pgqueue.job WHERE id = %s",
            [one.id],
        )
        if row.key is not None
    }
    return run(worker.connection, ops.advance(begun), "pgqueue")


def repair(worker: HandWorker) -> list[str]:
    return run(worker.connection, ops.repair([worker.queue_id]), "pgqueue")


def clock(sql: Sql) -> datetime:
    return sql.value("SELECT clock_timestamp()")  # type: ignore[no-any-return]


def test_a_schedule_has_one_delayed_job_for_its_next_occurrence(queue: Queue) -> None:
    made = queue.upsert_schedule(
        "nightly", every=HOUR, data={"n": 1}, attempts=3, priority=2
    )
    assert (made.key, made.queue, made.name) == ("nightly", "paint", "nightly")
    assert made.job_id is not None
    job = queue.get(made.job_id)
    assert (job.state, job.name, job.data) == (JobState.DELAYED, "nightly", {"n": 1})
    assert (job.attempts, job.priority) == (3, 2)
    assert job.run_at == made.next_at == job.scheduled_at
    assert job.schedule == "nightly"
    assert queue.counts().total == 1


def test_a_schedule_is_aligned_to_the_clock(queue: Queue) -> None:
    at = queue.upsert_schedule("a", every=HOUR, offset=60).next_at
    assert at is not None
    assert (at.minute, at.second) == (1, 0)


def test_a_pattern_is_read_in_its_zone(queue: Queue) -> None:
    made = queue.upsert_schedule("a", cron="30 9 * * *", tz="Asia/Kolkata")
    assert made.next_at is not None
    assert (made.next_at.astimezone(UTC).hour, made.next_at.minute) == (4, 0)


def test_the_next_runs_are_shown(queue: Queue) -> None:
    made = queue.upsert_schedule("a", every=HOUR, limit=3)
    runs = made.next_runs(9)
    assert runs[0] == made.next_at
    assert [b - a for a, b in itertools.pairwise(runs)] == [timedelta(hours=1)] * 2


def test_immediately_is_now_and_only_once(queue: Queue) -> None:
    first = queue.upsert_schedule("a", every=HOUR, immediately=True)
    assert queue.counts().waiting == 1
    again = queue.upsert_schedule("a", every=HOUR, immediately=True)
    assert again.next_at == first.next_at
    assert queue.counts().total == 1


def test_an_upsert_replaces_the_pending_job(queue: Queue) -> None:
    first = queue.upsert_schedule("a", every=HOUR, data=1)
    same = queue.upsert_schedule("a", every=HOUR, data=2)
    assert same.next_at == first.next_at
    other = queue.upsert_schedule("a", every=60, name="other", data=3)
    assert other.next_at is not None
    assert first.next_at is not None
    assert other.next_at <= first.next_at
    [job] = queue.jobs()
    assert (job.id, job.name, job.data) == (other.job_id, "other", 3)
    assert queue.get_schedule("a") == other


def test_an_upsert_that_changes_nothing_keeps_the_count_and_a_late_job(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.upsert_schedule("a", every=HOUR, limit=2)
    pass_time(sql, hours=1)
    begin(worker, sql)
    pass_time(sql, hours=5)
    late = queue.upsert_schedule("a", every=HOUR, limit=2)
    assert (late.iteration, queue.counts().waiting) == (1, 1)
    begin(worker, sql)
    assert queue.upsert_schedule("a", every=HOUR, limit=2).ended
    assert not queue.upsert_schedule("a", every=HOUR, limit=3).ended


def test_an_upsert_while_the_job_runs_counts_it(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    """Between the claim and the advance: the occurrence has begun, and is not repeated."""
    made = queue.upsert_schedule("a", every=HOUR)
    pass_time(sql, hours=1)
    promote(worker, sql)
    claimed = worker.claim()
    began = queue.get_schedule("a").next_at
    again = queue.upsert_schedule("a", every=HOUR)
    assert (again.iteration, again.last_at) == (1, began)
    assert again.job_id not in (None, made.job_id)
    advance(worker, claimed, sql)
    assert queue.get_schedule("a") == again
    assert queue.counts().delayed == 1


def test_the_next_job_is_made_when_the_job_begins(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.upsert_schedule("a", every=HOUR)
    pass_time(sql, hours=1)
    [one] = begin(worker, sql)
    after = queue.get_schedule("a")
    assert (after.iteration, queue.counts().delayed, queue.counts().active) == (1, 1, 1)
    assert after.next_at is not None
    assert after.next_at > clock(sql)
    worker.finish([one])
    assert queue.counts().delayed == 1


def test_an_occurrence_advances_its_schedule_once(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.upsert_schedule("a", every=HOUR)
    pass_time(sql, hours=1)
    claimed = begin(worker, sql)
    for _ in range(3):
        advance(worker, claimed, sql)
    assert queue.counts().delayed == 1
    assert queue.get_schedule("a").iteration == 1


def test_who_moves_a_schedule_on_from_where_it_no_longer_stands_moves_nothing(
    queue: Queue, worker: HandWorker, new_worker: Callable[..., HandWorker], sql: Sql
) -> None:
    """Two workers have read where it stands; one of them is slower."""
    queue.upsert_schedule("a", every=HOUR)
    pass_time(sql, hours=1)
    promote(worker, sql)
    claimed = worker.claim()
    slow = ops.advance([ops.Begun(worker.queue_id, "a", claimed[0].id)])
    read = next(slow)
    move = slow.send(worker._execute(read.name, dict(read.params)))
    advance(new_worker(), claimed, sql)
    after = queue.get_schedule("a")
    assert worker._execute(move.name, dict(move.params)) == []
    assert queue.get_schedule("a") == after
    assert (after.iteration, queue.counts().delayed) == (1, 1)


def test_after_downtime_one_job_runs_late_and_the_rest_is_skipped(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.upsert_schedule("a", every=60)
    pass_time(sql, days=10)
    assert len(begin(worker, sql)) == 1
    assert begin(worker, sql) == []
    at = queue.get_schedule("a").next_at
    assert at is not None
    assert timedelta(0) < at - clock(sql) <= timedelta(minutes=1)


def test_missed_all_runs_each_of_them(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.upsert_schedule("a", every=HOUR, missed="all")
    pass_time(sql, hours=5)
    seen = []
    while claimed := begin(worker, sql):
        seen += [queue.get(one.id).scheduled_at for one in claimed]
        worker.finish(claimed)
    assert len(seen) == len(set(seen)) == 5
    assert [b - a for a, b in itertools.pairwise(seen)] == [timedelta(hours=1)] * 4  # type: ignore[operator]
    assert queue.get_schedule("a").next_at > clock(sql)  # type: ignore[operator]


def test_missed_all_is_capped(
    queue: Queue, worker: HandWorker, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "CATCH_UP", 3)
    queue.upsert_schedule("a", every=60, missed="all")
    pass_time(sql, hours=5)
    count = 0
    while claimed := begin(worker, sql):
        count += len(claimed)
    assert count == 4
    assert queue.counts().delayed == 1


def test_a_limit_ends_a_schedule_which_stays(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.upsert_schedule("a", every=HOUR, limit=1)
    pass_time(sql, hours=1)
    begin(worker, sql)
    ended = queue.get_schedule("a")
    assert (ended.ended, ended.next_at, ended.job_id, ended.iteration) == (
        True,
        None,
        None,
        1,
    )
    assert ended.next_runs() == []
    assert queue.counts().delayed == 0
    repair(worker)
    assert queue.get_schedule("a") == ended


def test_an_end_in_the_past_makes_no_job(queue: Queue) -> None:
    end = datetime(2020, 1, 1, tzinfo=UTC)
    assert queue.upsert_schedule("a", every=HOUR, end=end).ended
    assert queue.counts().total == 0


def test_a_start_in_the_future_is_the_first_occurrence(queue: Queue) -> None:
    start = datetime(2090, 1, 1, 0, 7, tzinfo=UTC)
    assert queue.upsert_schedule("a", every=HOUR, start=start).next_at == start


def test_a_paused_schedule_has_no_job(queue: Queue, sql: Sql) -> None:
    queue.upsert_schedule("a", every=HOUR)
    paused = queue.pause_schedule("a")
    assert (paused.paused, paused.next_at, queue.counts().total) == (True, None, 0)
    assert queue.pause_schedule("a") == paused
    assert queue.upsert_schedule("a", every=60).next_at is None
    resumed = queue.resume_schedule("a")
    assert resumed.next_at is not None
    assert resumed.next_at > clock(sql)
    assert queue.resume_schedule("a") == resumed
    assert queue.counts().delayed == 1


def test_a_job_that_runs_while_its_schedule_is_paused_makes_no_other(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.upsert_schedule("a", every=HOUR)
    pass_time(sql, hours=1)
    promote(worker, sql)
    claimed = worker.claim()
    paused = queue.pause_schedule("a")
    assert (paused.iteration, queue.counts().active) == (1, 1)
    advance(worker, claimed, sql)
    worker.finish(claimed)
    repair(worker)
    assert queue.get_schedule("a") == paused


def test_removing_takes_the_pending_job_along(queue: Queue) -> None:
    queue.upsert_schedule("a", every=HOUR)
    assert queue.remove_schedule("a") is True
    assert queue.remove_schedule("a") is False
    assert queue.counts().total == 0


def test_removing_leaves_the_job_that_runs(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.upsert_schedule("a", every=HOUR, immediately=True)
    claimed = worker.claim()
    assert queue.remove_schedule("a")
    advance(worker, claimed, sql)
    assert worker.finish(claimed) == [claimed[0].id]
    assert queue.counts().total == 1


def test_the_pending_job_survives_drain_and_clean(queue: Queue) -> None:
    later = queue.upsert_schedule("later", every=HOUR)
    now = queue.upsert_schedule("now", every=HOUR, immediately=True)
    queue.add("other")
    queue.add("other", delay=60)
    assert queue.drain() == 2
    for state in ("waiting", "delayed"):
        assert queue.clean(0, state=state) == []  # type: ignore[arg-type]
    assert {job.id for job in queue.jobs()} == {later.job_id, now.job_id}


def test_only_the_pending_job_survives_a_drain(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    """A defect of BullMQ's: every job that a scheduler ever made was kept."""
    queue.upsert_schedule("a", every=HOUR, immediately=True)
    claimed = begin(worker, sql)
    worker.finish(claimed)
    queue.retry(claimed[0].id)
    assert queue.drain() == 1
    assert [job.id for job in queue.jobs()] == [queue.get_schedule("a").job_id]


def test_obliterate_removes_schedules_too(queue: Queue) -> None:
    queue.upsert_schedule("a", every=HOUR)
    queue.upsert_schedule("b", every=HOUR, immediately=True)
    queue.obliterate()
    assert (queue.counts().total, len(queue.schedules())) == (0, 0)


def test_a_pending_job_that_was_removed_by_hand_is_followed_by_the_next(
    queue: Queue, worker: HandWorker
) -> None:
    before = queue.upsert_schedule("a", every=HOUR, limit=2)
    assert before.job_id is not None
    assert before.next_at is not None
    queue.remove(before.job_id)
    assert repair(worker) == []
    after = queue.get_schedule("a")
    assert after.next_at == before.next_at + timedelta(hours=1)
    assert after.iteration == 0
    assert queue.counts().delayed == 1


def test_an_occurrence_that_was_promoted_by_hand_is_not_repeated(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    before = queue.upsert_schedule("a", every=HOUR)
    assert before.next_at is not None
    sql.run("UPDATE pgqueue.delayed SET run_at = now()")
    assert len(begin(worker, sql)) == 1
    after = queue.get_schedule("a")
    assert after.next_at == before.next_at + timedelta(hours=1)
    assert queue.upsert_schedule("a", every=HOUR).next_at == after.next_at
    queue.pause_schedule("a")
    assert queue.resume_schedule("a").next_at == after.next_at


def test_steering_the_pending_job_leaves_the_schedule_alive(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    made = queue.upsert_schedule("a", every=HOUR)
    assert made.job_id is not None
    assert made.next_at is not None
    queue.change_priority(made.job_id, 5)
    queue.change_delay(made.job_id, 7200)
    assert queue.get_schedule("a") == made
    queue.promote(made.job_id)
    assert len(begin(worker, sql)) == 1
    assert queue.get_schedule("a").next_at == made.next_at + timedelta(hours=1)


def test_the_template_carries_what_add_takes(queue: Queue) -> None:
    made = queue.upsert_schedule(
        "a", every=HOUR, tags=["x"], headers={"trace": "1"}, timeout=5, backoff=2
    )
    assert made.job_id is not None
    job = queue.get(made.job_id)
    assert (job.tags, dict(job.headers), job.timeout) == (("x",), {"trace": "1"}, 5.0)


def test_a_crash_between_claim_and_advance_is_repaired_once(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.upsert_schedule("a", every=HOUR, immediately=True, remove_on_complete=False)
    claimed = worker.claim()
    repair(worker)
    assert queue.counts().delayed == 0
    worker.finish(claimed)
    repair(worker)
    repair(worker)
    advance(worker, claimed, sql)
    assert (queue.counts().delayed, queue.get_schedule("a").iteration) == (1, 1)


def test_a_schedule_that_a_caller_holds_is_not_waited_for(
    queue: Queue, worker: HandWorker, sql: Sql, shells: Shells
) -> None:
    queue.upsert_schedule("a", every=HOUR, immediately=True)
    queue.upsert_schedule("b", every=HOUR, immediately=True)
    claimed = worker.claim(5)
    given, blocking = shells.connect()
    queue.pause_schedule("a", connection=given)
    held, _, _ = advance(worker, claimed, sql)
    assert [one.key for one in held] == ["a"]
    assert queue.get_schedule("b").iteration == 1
    blocking.rollback()
    held, _, _ = advance(worker, claimed, sql)
    assert not held
    assert queue.get_schedule("a").iteration == 1


def test_a_rule_that_cannot_be_read_hurts_no_other(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.upsert_schedule("a", every=HOUR, immediately=True)
    queue.upsert_schedule("b", every=HOUR, immediately=True)
    sql.run(
        """UPDATE pgqueue.schedule SET rule = '{"cron": "* * * * *", "tz": "No/Where"}' WHERE key = 'a'"""
    )
    _, _, problems = advance(worker, worker.claim(5), sql)
    assert len(problems) == 1
    assert "No/Where" in problems[0]
    assert queue.get_schedule("b").iteration == 1


def test_an_upsert_is_part_of_the_callers_transaction(
    queue: Queue, shells: Shells
) -> None:
    given, blocking = shells.connect()
    queue.upsert_schedule("a", every=HOUR, connection=given)
    assert queue.counts().total == 0
    blocking.rollback()
    assert (queue.counts().total, len(queue.schedules())) == (0, 0)
    queue.upsert_schedule("a", every=HOUR, connection=given)
    blocking.commit()
    assert (queue.counts().total, len(queue.schedules())) == (1, 1)


def test_a_pending_job_that_becomes_due_meanwhile_is_taken_back_all_the_same(
    queue: Queue, worker: HandWorker, sql: Sql, dsn: str
) -> None:
    """It moves from delayed to waiting between the look and the removal."""
    for change in (queue.pause_schedule, queue.remove_schedule):
        queue.upsert_schedule("a", every=HOUR)
        queue.resume_schedule("a")
        pass_time(sql, hours=1)
        with psycopg.connect(dsn) as connection:
            params = {"queue_id": worker.queue_id, "low": 0, "limit": 10}
            connection.execute(statements.load("promote_jobs"), params)
            with ThreadPoolExecutor(1) as pool:
                changing = pool.submit(change, "a")
                until(lambda: sql.value(WAITING_FOR_A_LOCK) == 1)
                connection.commit()
                changing.result(10)
        assert queue.counts().total == 0


def test_fifty_upserts_at_once_leave_one_pending_job(
    shells: Shells, dsn: str, sql: Sql
) -> None:
    del shells

    def upsert(n: int) -> None:
        with Queue("paint", dsn=dsn) as own:
            own.upsert_schedule("a", every=HOUR + n % 3, data=n)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(upsert, range(50)))
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 1
    assert sql.value("SELECT count(*) FROM pgqueue.schedule") == 1


def test_schedules_come_by_next_run_in_pages(queue: Queue) -> None:
    start = datetime(2090, 1, 1, tzinfo=UTC)
    for n in (3, 1, 2):
        queue.upsert_schedule(f"s{n}", every=HOUR, start=start + timedelta(minutes=n))
    queue.upsert_schedule("twin", every=HOUR, start=start + timedelta(minutes=2))
    queue.upsert_schedule("paused", every=HOUR)
    queue.pause_schedule("paused")
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = queue.schedules(after=cursor, limit=2)
        found += [one.key for one in page]
        if (cursor := page.cursor) is None:
            break
    assert found == ["s1", "s2", "twin", "s3", "paused"]
    assert [one.key for one in queue.schedules()] == found


def test_queues_do_not_share_schedules(queue: Queue, shells: Shells) -> None:
    other = shells.queue("other")
    queue.upsert_schedule("a", every=HOUR)
    other.upsert_schedule("a", every=60)
    other.obliterate()
    assert [one.key for one in queue.schedules()] == ["a"]
    assert len(other.schedules()) == 0


def test_what_is_not_there_is_not_found(queue: Queue) -> None:
    for call in (queue.get_schedule, queue.pause_schedule, queue.resume_schedule):
        with pytest.raises(ScheduleNotFound, match="no schedule 'a'"):
            call("a")


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"cron": "* * * * *", "every": 1},
        {"cron": "nonsense"},
        {"every": -1},
        {"every": 1, "limit": 0},
        {"every": 1, "attempts": 0},
        {"every": 1, "missed": "some"},
        {"every": 1, "start": datetime(2026, 1, 1)},  # noqa: DTZ001
        {"every": 1, "tz": 5},
        {"every": 1, "immediately": "yes"},
    ],
)
def test_a_mistake_is_refused_before_any_io(
    wrong: dict[str, Any], shells: Shells
) -> None:
    nowhere = shells.queue(dsn="postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(ConfigError):
        nowhere.upsert_schedule("a", **wrong)
    with pytest.raises(ConfigError):
        nowhere.upsert_schedule("", every=1)
    with pytest.raises(PayloadError):
        nowhere.upsert_schedule("a", every=1, data=object())
    with pytest.raises(ConfigError):
        nowhere.schedules(after="waiting/1/2")


def test_a_schedule_as_plain_values(queue: Queue) -> None:
    made = queue.upsert_schedule("a", cron="0 9 * * *", tz="Europe/Berlin", data=[1])
    plain = made.to_dict()
    assert plain["cron"] == "0 9 * * *"
    assert plain["next_at"] == made.next_at.isoformat()  # type: ignore[union-attr]
    assert plain["data"] == [1]
