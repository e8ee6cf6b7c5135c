"""`add`: its options, and what is stored is what was given."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from invariants import assert_consistent
from pgqueue import Backoff, ConfigError, Dedup, JobState, KeepJobs, NewJob, Queue

if TYPE_CHECKING:
    from claims import HandWorker
    from conftest import Sql
    from shells import Shells

LATER = datetime(2090, 1, 1, tzinfo=UTC)


def test_a_job_comes_back_as_it_was_added(queue: Queue, sql: Sql) -> None:
    job = queue.add(
        "paint",
        {"color": "blue"},
        priority=3,
        attempts=5,
        backoff=Backoff.exponential(1, max=300, jitter=0.5),
        timeout=timedelta(minutes=5),
        key="once",
        remove_on_complete=KeepJobs(age=3600.0, count=1000),
        remove_on_fail=5000,
    )
    assert job.state is JobState.WAITING
    assert job.timeout == 300
    assert queue.get(job.id) == job
    assert_consistent(sql)


@pytest.mark.parametrize("expires", [60, timedelta(minutes=1), LATER])
def test_what_the_job_model_added_comes_back(queue: Queue, expires: Any) -> None:
    job = queue.add(
        "paint",
        backoff="mine",
        expires=expires,
        dedup=Dedup("one"),
        keep_logs=3,
        stack_limit=2,
        headers={"trace": "00-1"},
        tags=["red", "blue"],
    )
    assert job.expires == (
        LATER if expires is LATER else job.created_at + timedelta(minutes=1)
    )
    assert (job.backoff, job.tags) == ("mine", ("red", "blue"))
    assert job.headers == {"trace": "00-1"}
    assert queue.get(job.id) == job


@pytest.mark.parametrize("headers", [None, {"trace": "00-1"}])
def test_whatever_returned_a_job_it_is_copied_pickled_and_written_as_json(
    queue: Queue, headers: dict[str, str] | None
) -> None:
    jobs = [
        queue.add("paint", {"n": 1}, headers=headers),
        *queue.add_bulk([NewJob("paint", headers=headers)]),
        *(queue.add("paint", headers=headers, dedup=Dedup("one")) for _ in range(2)),
    ]
    jobs += [queue.get(job.id) for job in jobs]
    for job in jobs:
        assert pickle.loads(pickle.dumps(job)) == copy.deepcopy(job) == job  # noqa: S301
        assert json.loads(json.dumps(asdict(job), default=str))["headers"] == (
            headers or {}
        )
        with pytest.raises(TypeError, match="take a dict"):
            job.headers["trace"] = "other"  # type: ignore[index]


@pytest.mark.parametrize(
    "options",
    [
        {"expires": 0},
        {"expires": datetime(2090, 1, 1)},  # noqa: DTZ001  without a zone
        {"keep_logs": -1},
        {"stack_limit": -1},
        {"headers": {"a": 1}},
        {"headers": "a=1"},
        {"tags": "red"},
        {"tags": [""]},
        {"dedup": "one"},
        {"dedup": Dedup("")},
        {"dedup": Dedup("one", ttl=0)},
        {"dedup": Dedup("one", extend=True)},
        {"dedup": Dedup("one", ttl=5, keep_last_if_active=True)},
        {"backoff": ""},
    ],
)
def test_a_bad_option_is_refused_before_anything_is_sent(
    queue: Queue, options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError):
        queue.add("paint", **options)
    assert queue.count() == 0


def test_a_job_has_the_databases_time_and_defaults(queue: Queue, sql: Sql) -> None:
    before = sql.value("SELECT clock_timestamp()")
    job = queue.add("paint")
    assert before <= job.created_at <= sql.value("SELECT clock_timestamp()")
    assert job.created_at.tzinfo is not None
    assert (job.data, job.priority, job.attempt, job.attempts) == (None, 0, 0, 1)
    assert queue.get(job.id) == job


def test_a_delay_counts_from_the_databases_clock(queue: Queue) -> None:
    for delay in (60, 60.0, timedelta(minutes=1)):
        job = queue.add("n", delay=delay)
        assert job.state is JobState.DELAYED
        assert job.run_at == job.created_at + timedelta(minutes=1)
        assert queue.get(job.id) == job


def test_run_at_is_kept_to_the_microsecond_in_any_zone(queue: Queue) -> None:
    east = datetime.fromisoformat("2090-07-01T12:00:00.123457+05:45")
    job = queue.add("n", run_at=east)
    assert job.run_at == east
    assert queue.get(job.id) == job


@pytest.mark.parametrize(
    "when",
    [
        {"delay": 0},
        {"delay": timedelta(0)},
        {"run_at": datetime(1970, 1, 1, tzinfo=UTC)},
        {"run_at": datetime(2001, 9, 9, tzinfo=UTC)},
    ],
)
def test_a_job_that_is_due_waits_at_once(queue: Queue, when: dict[str, Any]) -> None:
    job = queue.add("n", **when)
    assert job.state is JobState.WAITING
    assert job.run_at is None
    assert queue.get(job.id) == job


def test_the_last_instant_allowed_can_be_stored_and_listed(queue: Queue) -> None:
    last = datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)
    job = queue.add("n", run_at=last)
    assert list(queue.jobs("delayed")) == [job]


def test_priority_0_goes_first_then_1_then_the_larger(
    queue: Queue, worker: HandWorker
) -> None:
    ids = {p: queue.add("n", priority=p).id for p in (2_097_151, 5, 1, 0, 2)}
    assert [j.id for j in worker.claim(9)] == [ids[p] for p in sorted(ids)]


def test_the_same_priority_goes_in_the_order_of_adding(
    queue: Queue, worker: HandWorker
) -> None:
    ids = [queue.add("n", priority=7).id for _ in range(5)]
    assert [j.id for j in worker.claim(9)] == ids


def test_lifo_goes_before_what_waits_already_last_in_first(
    queue: Queue, worker: HandWorker
) -> None:
    first, second = queue.add("n").id, queue.add("n").id
    third, fourth = queue.add("n", lifo=True).id, queue.add("n", lifo=True).id
    urgent = queue.add("n", priority=1, lifo=True).id
    listed = [j.id for j in queue.jobs(["waiting", "prioritized"])]
    assert listed == [fourth, third, first, second, urgent]
    assert [j.id for j in worker.claim(9)] == listed


def test_lifo_does_not_pass_a_higher_priority(queue: Queue, worker: HandWorker) -> None:
    high = queue.add("n", priority=1).id
    low = queue.add("n", priority=2, lifo=True).id
    assert [j.id for j in worker.claim(9)] == [high, low]


@pytest.mark.parametrize(
    "keep", [True, False, 0, 5, KeepJobs(age=1.5), KeepJobs(count=2), KeepJobs()]
)
def test_each_keep_rule_is_read_back(queue: Queue, keep: Any) -> None:
    job = queue.add("n", remove_on_complete=keep, remove_on_fail=keep)
    found = queue.get(job.id)
    assert found.remove_on_complete == keep
    assert type(found.remove_on_complete) is type(keep)
    assert found == job


@pytest.mark.parametrize("backoff", [5, 0, 2.5, timedelta(seconds=3)])
def test_a_bare_duration_is_a_fixed_backoff(queue: Queue, backoff: Any) -> None:
    job = queue.add("n", backoff=backoff)
    assert job.backoff == Backoff.fixed(backoff)
    assert queue.get(job.id) == job


TRICKY = {
    "large float": 1e300,
    "smallest float": 5e-324,
    "minus zero": -0.0,
    "floats that look whole": [1.0, 100.0, 1e16],
    "large int": 2**200,
    "4300 digits": 10**4299,
    "emoji": {"😀": "👩‍👩‍👧 \U0001f3f4", "é": "e\u0301"},
    "controls": "".join(map(chr, range(1, 32))) + "\x7f\u2028\ufeff\uffff",
    "looks like escapes": "\\u0000 \\ud800 \\n \\",
    "quotes": "'\"`$$%(x)s %s {} ;--",
    "empty": ["", [], {}, None, {"": ""}],
    "a key called key": {"key": "k", "name": "n", "data": 1, "delay": 99},
    "key order": dict.fromkeys("zyxwvu"),
    "one value": False,
}


@pytest.mark.parametrize("case", TRICKY)
def test_tricky_data_comes_back_equal_types_included(queue: Queue, case: str) -> None:
    job = queue.add("n", TRICKY[case])
    assert repr(queue.get(job.id).data) == repr(TRICKY[case])


storable = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**50), 10**50)
    | st.floats(allow_nan=False, allow_infinity=False)
    | storable,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(storable, inner, max_size=4)
    ),
    max_leaves=15,
)


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=storable.filter(lambda text: 1 <= len(text) <= 255),
    data=json_values,
    key=st.none() | storable.filter(lambda text: 1 <= len(text) <= 255),
)
def test_whatever_was_given_is_read_back(
    queue: Queue, name: str, data: Any, key: str | None
) -> None:
    job = queue.add(name, data, key=key)
    found = queue.get(job.id)
    assert (found.name, found.key) == (name, key)
    if found.created_at == job.created_at:  # else the key was there already
        assert repr(found.data) == repr(data)
    queue.remove(job.id)


NAMES = {
    "200 characters": "n" * 200,
    "255 wide characters": "👩" * 255,
    "quotes": 'o\'brien "x" `y` $$ %s %(queue)s \\ ; --',
    "control": "a\tb\nc\x01",
    "right to left": "\u202eabc\u05d0",
    "not normalised": "e\u0301",
    "blank": " ",
}


@pytest.mark.parametrize("case", NAMES)
def test_any_name_works_as_a_queue_a_job_and_a_key(
    shells: Shells, sql: Sql, case: str
) -> None:
    name = NAMES[case]
    queue = shells.queue(name)
    job = queue.add(name, {name: name}, key=name)
    assert queue.get(job.id) == job
    assert queue.add("again", key=name).id == job.id
    assert sql.one("SELECT queue, name, key FROM pgqueue.jobs") == (name,) * 3
    assert queue.drain() == 1
    assert_consistent(sql)


def test_names_that_look_alike_are_different_queues(shells: Shells) -> None:
    names = ["a", "A", "a ", "e\u0301", "\u00e9", "ß", "ss"]
    for name in names:
        shells.queue(name).add("n")
    assert [shells.queue(name).count() for name in names] == [1] * len(names)


def test_ids_beyond_32_and_53_bits_work(queue: Queue, sql: Sql) -> None:
    for start in (2**31, 2**53 + 1, 2**63 - 10):
        sql.run("SELECT setval('pgqueue.job_seq', %s)", [start])
        job, lifo = queue.add("n"), queue.add("n", lifo=True)
        assert job.id == start + 1
        assert queue.get(job.id) == job
        assert [j.id for j in queue.jobs()] == [lifo.id, job.id]
        page = queue.jobs(limit=1)
        assert [j.id for j in queue.jobs(after=page.cursor)] == [job.id]
        assert queue.remove(job.id)
        assert queue.drain() == 1
    assert_consistent(sql)


def test_the_database_refusing_a_job_adds_nothing(queue: Queue, sql: Sql) -> None:
    sql.run("SELECT setval('pgqueue.job_seq', 9223372036854775807)")
    with pytest.raises(Exception, match="reached maximum value"):
        queue.add("n")
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0
