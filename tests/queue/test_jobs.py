"""Looking at jobs: get, jobs, counts; and acting on one: remove, retry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from invariants import assert_consistent
from pgqueue import (
    ConfigError,
    FlowNode,
    JobNotFound,
    JobState,
    JobStateError,
    NewJob,
    Queue,
)

if TYPE_CHECKING:
    from claims import HandWorker
    from conftest import Sql
    from shells import Shells

STATES = [
    *("waiting", "prioritized", "delayed", "active"),
    *("waiting_children", "completed", "failed"),
]


def ids(jobs: Any) -> list[int]:
    return [job.id for job in jobs]


def paged(
    queue: Queue, states: Any = None, limit: int = 3, **options: Any
) -> list[int]:
    """Go through a listing page by page."""
    found: list[int] = []
    cursor = None
    while True:
        page = queue.jobs(states, after=cursor, limit=limit, **options)
        assert len(page) <= limit
        found += ids(page)
        cursor = page.cursor
        if cursor is None:
            return found
        assert len(page) == limit


@pytest.fixture
def filled(queue: Queue, worker: HandWorker, shells: Shells) -> dict[str, list[int]]:
    """Three jobs of each state, in the order in which they are listed."""
    found: dict[str, list[int]] = {}
    finished: dict[str, list[int]] = {"completed": [], "failed": []}
    queue.add_bulk([NewJob("n", n) for n in range(6)])
    for n in range(6):
        state = "completed" if n % 2 else "failed"
        [claimed] = worker.claim()
        worker.finish([claimed], state, error="it broke" if n % 2 == 0 else None)
        finished[state].insert(0, claimed.id)
    queue.add_bulk([NewJob("n") for _ in range(3)])
    found["active"] = [worker.claim()[0].id for _ in range(3)]
    found["waiting"] = [queue.add("n").id for _ in range(2)]
    found["waiting"].insert(0, queue.add("n", lifo=True).id)
    later = {p: queue.add("n", priority=p).id for p in (3, 1, 2)}
    found["prioritized"] = [later[p] for p in (1, 2, 3)]
    due = {d: queue.add("n", delay=d).id for d in (300, 100, 200)}
    found["delayed"] = [due[d] for d in (100, 200, 300)]
    tree = FlowNode("n", queue="paint", children=[FlowNode("n", queue="other")])
    found["waiting_children"] = [shells.flows().add(tree).job.id for _ in range(3)]
    return {state: (found | finished)[state] for state in STATES}


@pytest.mark.parametrize("state", STATES)
def test_each_state_is_listed_in_its_order(
    queue: Queue, filled: dict[str, list[int]], state: str
) -> None:
    assert ids(queue.jobs(state)) == filled[state]
    assert ids(queue.jobs([state])) == filled[state]


def test_all_states_follow_each_other(
    queue: Queue, filled: dict[str, list[int]]
) -> None:
    everything = [i for state in STATES for i in filled[state]]
    assert ids(queue.jobs()) == everything
    assert ids(queue.jobs([])) == everything
    assert ids(queue.jobs(STATES[::-1])) == everything


@pytest.mark.parametrize("limit", range(1, 23))
def test_pages_of_any_size_show_each_job_once(
    queue: Queue, filled: dict[str, list[int]], limit: int
) -> None:
    everything = [i for state in STATES for i in filled[state]]
    assert paged(queue, limit=limit) == everything
    some = ["waiting", "completed", "failed"]
    assert paged(queue, some, limit) == [i for s in some for i in filled[s]]


def test_start_and_end_are_positions_in_the_whole_listing(
    queue: Queue, filled: dict[str, list[int]]
) -> None:
    everything = [i for state in STATES for i in filled[state]]
    for start in range(23):
        assert ids(queue.jobs(start=start, end=start + 3)) == everything[start:][:4]
        assert ids(queue.jobs(start=start, end=-1)) == everything[start:]
        assert ids(queue.jobs(start=start, limit=2)) == everything[start:][:2]


def test_a_job_that_is_got_equals_the_one_that_is_listed(
    queue: Queue, filled: dict[str, list[int]]
) -> None:
    assert filled
    for job in queue.jobs():
        got = queue.get(job.id)
        if job.state in ("waiting", "prioritized", "delayed"):
            assert got == job
        assert (got.id, got.state, got.data, got.attempt) == (
            *(job.id, job.state, job.data, job.attempt),
        )
        assert json.loads(json.dumps(got.to_dict()))["state"] == job.state


def test_a_page_by_default_has_a_hundred_jobs(queue: Queue) -> None:
    queue.add_bulk([NewJob("n")] * 250)
    first = queue.jobs()
    assert len(first) == 100
    assert len(queue.jobs(after=first.cursor)) == 100
    assert len(queue.jobs(end=-1)) == 250
    assert queue.jobs(end=-1).cursor is None


def test_a_job_that_stays_is_shown_exactly_once_whatever_changes_around_it(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    stay = ids(queue.add_bulk([NewJob("stay", priority=n % 3) for n in range(60)]))
    queue.add_bulk([NewJob("go") for _ in range(20)])
    seen: list[int] = []
    cursor = None
    while True:
        page = queue.jobs(["waiting", "prioritized"], after=cursor, limit=7)
        seen += ids(page)
        cursor = page.cursor
        if cursor is None:
            break
        for job in queue.jobs("waiting", limit=100):
            if job.name == "go":
                queue.remove(job.id)
                break
        queue.add("new", lifo=True)
        queue.add("new", priority=1, lifo=True)
        queue.add("new", priority=2)
        if page[-1].name == "go":
            queue.remove(page[-1].id)  # the job that the cursor stands on
    assert len(seen) == len(set(seen))
    assert sorted(set(seen) & set(stay)) == sorted(stay)
    assert worker.id
    assert_consistent(sql)


def test_finished_jobs_are_paged_while_others_finish_and_go(
    queue: Queue, worker: HandWorker
) -> None:
    queue.add_bulk([NewJob("n")] * 40)
    worker.finish(worker.claim(30))
    stay = set(ids(queue.jobs("completed", end=-1)))
    seen: list[int] = []
    cursor = None
    while True:
        page = queue.jobs("completed", after=cursor, limit=4)
        seen += ids(page)
        cursor = page.cursor
        if cursor is None:
            break
        worker.finish(worker.claim(1))
        gone = page[0].id
        queue.remove(gone)
        stay.discard(gone)
    assert len(seen) == len(set(seen))
    assert stay <= set(seen)


def test_jobs_that_finished_at_the_same_instant_are_paged_by_id(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.add_bulk([NewJob("n")] * 10)
    worker.finish(worker.claim(10))
    sql.run("UPDATE pgqueue.finished SET finished_at = now()")
    assert paged(queue, "completed") == sorted(paged(queue, "completed"), reverse=True)
    assert len(paged(queue, "completed")) == 10


@pytest.mark.parametrize("states", ["finished", ["waiting", "x"], 5, [None], "WAITING"])
def test_an_unknown_state_is_refused_with_those_there_are(
    queue: Queue, states: Any
) -> None:
    with pytest.raises(ConfigError, match=r"states=.*waiting, prioritized, delayed"):
        queue.jobs(states)


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "waiting", "waiting/1", "waiting/x/1", "waiting/1/x", "failed/1/1"),
        *(f"waiting/{2**31}/1", f"waiting/1/{2**63}", "waiting/-2/1", "waiting/1/2/3"),
        *("waiting/ 1/2", "waiting/1/2\n", "waiting/\u0661/1", "Waiting/1/2", 7, b"x"),
        *(f"completed/{10**18}/1", "waiting/1e3/2", "waiting//"),
    ],
)
def test_a_cursor_that_is_none_is_refused(queue: Queue, cursor: Any) -> None:
    with pytest.raises(ConfigError, match=r"^after="):
        queue.jobs(["waiting", "completed"], after=cursor)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"start": -1}, {"start": 1.5}, {"start": 5, "end": 4}, {"end": "3"}),
        *({"limit": 0}, {"limit": 10_001}, {"limit": True}, {"end": 3, "limit": 2}),
    ],
)
def test_a_range_that_is_none_is_refused(queue: Queue, wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"^(start|end|limit)="):
        queue.jobs(**wrong)


def test_a_job_that_is_not_there_is_not_found(queue: Queue, sql: Sql) -> None:
    sql.run("SELECT pgqueue.add('other', 'n')")
    for job_id in (1, 2**63 - 1):
        with pytest.raises(
            JobNotFound, match=f"'paint' has no job {job_id}"
        ) as missing:
            queue.get(job_id)
        assert missing.value.job_id == job_id
        assert isinstance(missing.value, LookupError)
        with pytest.raises(JobNotFound):
            queue.retry(job_id)
        assert not queue.remove(job_id)


def test_a_failed_run_is_told_wherever_the_job_stands(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    job = queue.add("n", attempts=3)
    for run, state in ((1, "waiting"), (2, "delayed"), (3, "failed")):
        [claimed] = worker.claim()
        active = queue.get(job.id)
        assert (active.state, active.attempt) == ("active", run)
        assert active.worker == f"worker-{worker.id}"
        assert active.started_at is not None
        worker.finish([claimed], state, delay=1, failure=True, error=f"run {run}")
        found = queue.get(job.id)
        assert (found.state, found.attempt, found.error) == (state, run, f"run {run}")
        if state == "delayed":
            sql.run("DELETE FROM pgqueue.delayed")
            sql.run(
                "INSERT INTO pgqueue.ready SELECT id, nextval('pgqueue.job_seq'),"
                " queue_id, 0, 2, 0, true FROM pgqueue.job"
            )
    assert_consistent(sql)


def test_progress_and_result_are_read_back(queue: Queue, worker: HandWorker) -> None:
    job = queue.add("n")
    [claimed] = worker.claim()
    worker.report(claimed, {"percent": 42})
    assert queue.get(job.id).progress == {"percent": 42}
    assert queue.jobs("active")[0].progress == {"percent": 42}
    worker.finish([claimed], result={"ok": 1e300})
    found = queue.get(job.id)
    assert (found.state, found.result) == (JobState.COMPLETED, {"ok": 1e300})
    assert found.started_at is not None
    assert found.finished_at is not None
    assert found.started_at <= found.finished_at


@pytest.mark.parametrize("state", [s for s in STATES if s != "active"])
def test_remove_takes_a_job_of_any_state_but_active(
    queue: Queue, filled: dict[str, list[int]], sql: Sql, state: str
) -> None:
    first, *others = filled[state]
    assert queue.remove(first) is True
    assert queue.remove(first) is False
    assert ids(queue.jobs(state)) == others
    assert_consistent(sql)


def test_remove_refuses_an_active_job(
    queue: Queue, filled: dict[str, list[int]], sql: Sql
) -> None:
    with pytest.raises(JobStateError, match=r"is active; only .* can be removed") as no:
        queue.remove(filled["active"][0])
    assert no.value.state == "active"
    assert ids(queue.jobs("active")) == filled["active"]
    assert_consistent(sql)


def test_remove_takes_lifo_and_moved_jobs_too(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    lifo = queue.add("n", lifo=True, priority=2)
    moved = queue.add("n", attempts=2)
    worker.finish(worker.claim(), "waiting", failure=True, error="again")
    assert queue.get(moved.id).state == "waiting"
    assert queue.remove(lifo.id)
    assert queue.remove(moved.id)
    assert queue.count() == 0
    assert_consistent(sql)


def test_remove_does_not_reach_into_another_queue(queue: Queue, sql: Sql) -> None:
    job_id = sql.value("SELECT pgqueue.add('other', 'n')")
    assert not queue.remove(job_id)
    assert sql.value("SELECT count(*) FROM pgqueue.jobs") == 1


@pytest.mark.parametrize("state", ["completed", "failed"])
def test_retry_puts_a_finished_job_at_the_end_of_its_lane(
    queue: Queue, worker: HandWorker, sql: Sql, state: str
) -> None:
    job = queue.add("n", priority=2, attempts=1)
    worker.finish(
        worker.claim(), state, error="it broke" if state == "failed" else None
    )
    other = queue.add("n", priority=2)
    again = queue.retry(job.id)
    assert (again.state, again.attempt, again.priority) == ("waiting", 1, 2)
    assert ids(queue.jobs("prioritized")) == [other.id, job.id]
    assert [c.attempt for c in worker.claim(2)] == [1, 2]
    assert_consistent(sql)


@pytest.mark.parametrize("state", ["waiting", "prioritized", "delayed", "active"])
def test_retry_refuses_a_job_that_has_not_finished(
    queue: Queue, filled: dict[str, list[int]], state: str
) -> None:
    shown = "waiting" if state == "prioritized" else state
    with pytest.raises(JobStateError, match=f"is {shown}; only completed or failed"):
        queue.retry(filled[state][0])
    assert ids(queue.jobs(state)) == filled[state]


def test_pausing_twice_is_pausing_once(queue: Queue, worker: HandWorker) -> None:
    queue.add("n")
    queue.pause()
    queue.pause()
    assert worker.claim() == []
    queue.resume()
    assert not queue.is_paused()
    assert len(worker.claim()) == 1
