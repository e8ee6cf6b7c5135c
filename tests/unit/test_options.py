"""Options are checked before any I/O, stored as JSON and read back the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgqueue import (
    AsyncQueue,
    Backoff,
    ConfigError,
    Job,
    JobState,
    KeepJobs,
    NewJob,
    Queue,
    UnknownOption,
    Worker,
)
from pgqueue.backoff import LONGEST, delay_before_retry
from pgqueue.options import encode_job
from pgqueue.retention import Retention, resolve
from pgqueue.stored import NONE, Options, parse_options
from unit.calling import each_queue, outcome

NOWHERE = "postgresql://nobody@127.0.0.1:1/nowhere?connect_timeout=1"
"""Whoever connects here gets `DatabaseUnavailable`, so `ConfigError` means no I/O."""

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
YEARS = 200 * 365 * 86400
BAD_DURATIONS = [-1, -0.001, float("nan"), float("inf"), YEARS, 10**400, "5s", True]

BAD_OPTIONS: list[tuple[str, Any]] = [
    *(("delay", value) for value in BAD_DURATIONS),
    ("delay", timedelta(seconds=-1)),
    ("run_at", datetime(2030, 1, 1)),  # noqa: DTZ001  naive is what is refused
    ("run_at", datetime.max.replace(tzinfo=UTC)),
    ("run_at", datetime.min.replace(tzinfo=UTC)),
    ("run_at", "2030-01-01T00:00:00Z"),
    ("run_at", 1893456000),
    ("priority", -1),
    ("priority", 2_097_152),
    ("priority", 1.5),
    ("priority", "1"),
    ("priority", True),
    ("priority", None),
    ("lifo", "yes"),
    ("lifo", 1),
    ("lifo", None),
    ("attempts", 0),
    ("attempts", -1),
    ("attempts", 2**31),
    ("attempts", 2.5),
    ("attempts", None),
    *(("backoff", value) for value in BAD_DURATIONS),
    ("backoff", "fixed"),
    ("backoff", "-5s"),
    ("backoff", ".5"),
    ("backoff", {"type": "fixed", "delay": 1}),
    ("backoff", Backoff("linear", 1.0)),  # type: ignore[arg-type]
    ("backoff", Backoff("fixed", -1.0)),
    ("backoff", Backoff("fixed", 1.0, jitter=1.5)),
    ("backoff", Backoff("fixed", 1.0, jitter=float("nan"))),
    ("backoff", Backoff("fixed", 1.0, jitter="much")),  # type: ignore[arg-type]
    ("backoff", Backoff("exponential", 1.0, max=-1.0)),
    *(("timeout", value) for value in BAD_DURATIONS),
    ("timeout", 0),
    ("attempts", True),
    ("priority", False),
    ("key", ""),
    ("key", "k" * 256),
    ("key", "nul\x00"),
    ("key", "half \ud800"),
    ("key", 7),
    *(
        (option, value)
        for option in ("remove_on_complete", "remove_on_fail")
        for value in (
            -1,
            1.5,
            2**53 + 1,
            "all",
            KeepJobs(age=-1),
            KeepJobs(age="1h"),  # type: ignore[arg-type]
            KeepJobs(count=-1),
            KeepJobs(count=1.5),  # type: ignore[arg-type]
            KeepJobs(count=True),
        )
    ),
]

each_bad_option = pytest.mark.parametrize(("option", "value"), BAD_OPTIONS)


@each_bad_option
def test_add_names_the_bad_option_before_any_connection(
    option: str, value: Any
) -> None:
    with pytest.raises(ConfigError, match=rf"^{option}.*takes"):
        Queue("paint", dsn=NOWHERE).add("n", **{option: value})


@each_bad_option
async def test_async_add_names_the_bad_option_before_any_connection(
    option: str, value: Any
) -> None:
    with pytest.raises(ConfigError, match=rf"^{option}.*takes"):
        await AsyncQueue("paint", dsn=NOWHERE).add("n", **{option: value})


NEVER = {
    "delay": ({"delay": 5, "expires": 5}, r"^expires=5 .*more than delay=5$"),
    "units": ({"delay": timedelta(minutes=1), "expires": 59.9}, "more than delay="),
    "run_at": ({"run_at": NOON, "expires": NOON}, "more than run_at=2030-01-01"),
}


@each_queue
@pytest.mark.parametrize("case", NEVER)
def test_a_job_that_would_expire_before_it_is_due_is_refused(
    kind: type[Queue | AsyncQueue], case: str
) -> None:
    given, message = NEVER[case]
    with pytest.raises(ConfigError, match=message):
        outcome(kind("paint", dsn=NOWHERE).add("n", **given))  # type: ignore[arg-type]


@each_queue
def test_a_job_in_the_place_of_its_id_is_named(kind: type[Queue | AsyncQueue]) -> None:
    job = Job(
        id=7,
        queue="paint",
        name="n",
        data=None,
        state=JobState.WAITING,
        created_at=NOON,
    )
    with pytest.raises(ConfigError, match=r"job_id takes its id: 7$"):
        outcome(kind("paint", dsn=NOWHERE).remove(job))  # type: ignore[arg-type]


UNKNOWN = {
    "a misspelt one": ({"prioritiy": 1}, r"'prioritiy'; did you mean 'priority'\?"),
    "BullMQ's spelling": ({"removeOnFail": 1}, r"did you mean 'remove_on_fail'\?"),
    "another one": ({"colour": "red"}, r"no option 'colour'; there are: delay, run_"),
}


@each_queue
@pytest.mark.parametrize("case", UNKNOWN)
def test_an_unknown_option_is_named_before_any_connection(
    kind: type[Queue | AsyncQueue], case: str
) -> None:
    given, message = UNKNOWN[case]
    with pytest.raises(UnknownOption, match=message):
        outcome(kind("paint", dsn=NOWHERE).add("n", **given))  # type: ignore[arg-type]


@each_queue
def test_a_queue_and_a_worker_name_an_unknown_option_too(
    kind: type[Queue | AsyncQueue],
) -> None:
    with pytest.raises(UnknownOption, match="'dns'; did you mean 'dsn'"):
        kind("paint", dns=NOWHERE)  # type: ignore[arg-type]
    with pytest.raises(UnknownOption, match="did you mean 'concurrency'"):
        Worker("paint", print, concurency=3)  # type: ignore[arg-type]
    with pytest.raises(UnknownOption, match="'missd'; did you mean 'missed'"):
        outcome(kind("paint", dsn=NOWHERE).upsert_schedule("k", every=1, missd="all"))  # type: ignore[arg-type]
    assert issubclass(UnknownOption, TypeError)


@each_queue
def test_text_is_no_flag_so_that_no_means_no(kind: type[Queue | AsyncQueue]) -> None:
    queue: Any = kind("paint", dsn=NOWHERE)
    calls = {
        "force": queue.obliterate,
        "delayed": queue.drain,
        "children": lambda **flag: queue.remove(1, **flag),
        "reset_attempts": lambda **flag: queue.retry(1, **flag),
        "lifo": lambda **flag: queue.change_priority(1, 1, **flag),
        "atomic": lambda **flag: queue.add_bulk([], **flag),
        "count_only": lambda **flag: queue.add_bulk([], **flag),
    }
    for option, call in calls.items():
        for value in ("no", "", 1, None):
            with pytest.raises(ConfigError, match=f"^{option}=.*True or False"):
                outcome(call(**{option: value}))
    with pytest.raises(ConfigError, match=r"^reset_attempts="):
        outcome(queue.retry_all(reset_attempts=1))


@each_queue
def test_a_dsn_that_is_no_text_is_refused_without_showing_it(
    kind: type[Queue | AsyncQueue],
) -> None:
    with pytest.raises(ConfigError, match=r"dsn= takes text.* dict$"):
        kind("paint", dsn={"password": "s3cret"})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "n" * 256, "a\x00", "\udfff", None, 5, b"n"])
def test_a_job_or_queue_name_that_cannot_be_stored_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match=r"^name="):
        Queue("paint", dsn=NOWHERE).add(name)
    with pytest.raises(ConfigError, match=r"^queue name="):
        Queue(name, dsn=NOWHERE)


def test_delay_and_run_at_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="no delay beside it"):
        Queue("paint", dsn=NOWHERE).add("n", delay=1, run_at=datetime.now(UTC))


@pytest.mark.parametrize("job_id", [0, -1, 2**63, 1.0, "1", None, True])
def test_a_job_id_is_a_number_in_range(job_id: Any) -> None:
    queue = Queue("paint", dsn=NOWHERE)
    for call in (queue.get, queue.remove, queue.retry):
        with pytest.raises(ConfigError, match=r"^job_id="):
            call(job_id)


@each_queue
@pytest.mark.parametrize("jobs", [None, 5, "ab", ["n"], [{"name": "n"}], [None]])
def test_add_bulk_takes_new_jobs_only(
    kind: type[Queue | AsyncQueue], jobs: Any
) -> None:
    with pytest.raises(ConfigError, match=r"^jobs="):
        outcome(kind("paint", dsn=NOWHERE).add_bulk(jobs, atomic=False))


@each_queue
def test_a_bad_job_in_a_list_is_found_before_any_connection_is_made(
    kind: type[Queue | AsyncQueue],
) -> None:
    jobs = [NewJob("n"), NewJob("n", priority=-1)]
    with pytest.raises(ConfigError, match="priority=-1"):
        outcome(kind("paint", dsn=NOWHERE).add_bulk(jobs))


def test_a_duration_of_a_backoff_is_no_text() -> None:
    for make in (Backoff.fixed, Backoff.exponential):
        with pytest.raises(ConfigError, match="'5s'"):
            make("5s")


@pytest.mark.parametrize("size", [0, -1, 2**31, 1.5, None])
def test_a_size_limit_is_a_number_of_bytes(size: Any) -> None:
    with pytest.raises(ConfigError, match=r"^size_limit="):
        Queue("paint", dsn=NOWHERE, size_limit=size)


durations = st.floats(0, 100 * 365 * 86400)
backoffs = st.builds(
    Backoff,
    st.sampled_from(["fixed", "exponential"]),
    durations,
    st.none() | durations,
    st.floats(0, 1),
)
keeps = (
    st.booleans()
    | st.integers(0, 2**53)
    | st.builds(
        KeepJobs, age=st.none() | durations, count=st.none() | st.integers(0, 2**53)
    )
)


@given(
    backoff=st.none() | backoffs,
    timeout=st.none() | durations.filter(bool),
    complete=st.none() | keeps,
    fail=st.none() | keeps,
)
def test_stored_options_are_read_back_equal(
    backoff: Any, timeout: Any, complete: Any, fail: Any
) -> None:
    job = NewJob(
        "n",
        backoff=backoff,
        timeout=timeout,
        remove_on_complete=complete,
        remove_on_fail=fail,
    )
    stored = json.loads(encode_job(job)).get("options")
    text = None if stored is None else json.dumps(stored)
    assert parse_options(text) == Options(
        backoff, timeout, remove_on_complete=complete, remove_on_fail=fail
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
names = st.sampled_from(
    [
        "backoff",
        "timeout",
        "remove_on_complete",
        "remove_on_fail",
        "type",
        "delay",
        "max",
        "jitter",
        "age",
        "count",
    ]
)


@given(st.dictionaries(names, json_values | st.dictionaries(names, json_values)))
def test_options_that_someone_else_wrote_never_raise_and_stay_in_range(
    stored: dict[str, Any],
) -> None:
    read = parse_options(json.dumps(stored))
    if isinstance(read.backoff, str):
        assert read.backoff == stored["backoff"]
    elif read.backoff is not None:
        assert 0 <= delay_before_retry(read.backoff, 99) <= LONGEST
    for keep in (read.remove_on_complete, read.remove_on_fail):
        rule = resolve(keep, None)
        if rule is not None:
            assert rule.newest is None or 0 <= rule.newest <= 2**53
            assert rule.age is None or 0 <= rule.age <= 100 * 365 * 86400


@pytest.mark.parametrize(
    "text",
    [None, "", "nonsense", "[]", "7", '{"timeout": 1' + "0" * 400 + "}", "[" * 100000],
)
def test_options_that_are_nonsense_count_as_not_given(text: str | None) -> None:
    assert parse_options(text).backoff is None
    if text is None or "timeout" not in text:
        assert parse_options(text) == NONE


@given(backoff=backoffs, made=st.integers(1, 2**31), draw=st.floats(0, 1))
def test_a_delay_lies_between_its_jitter_bounds(
    backoff: Backoff, made: int, draw: float
) -> None:
    full = delay_before_retry(backoff, made, lambda: 0.0)
    delay = delay_before_retry(backoff, made, lambda: draw)
    assert full * (1 - backoff.jitter) - 1e-6 * full <= delay <= full <= LONGEST


def test_a_fixed_backoff_waits_the_same_and_an_exponential_one_doubles() -> None:
    fixed, growing = Backoff.fixed(5), Backoff.exponential(1, max=10)
    assert [delay_before_retry(fixed, n) for n in (1, 2, 9)] == [5, 5, 5]
    assert [delay_before_retry(growing, n) for n in (1, 2, 3, 4, 5, 6)] == [
        *(1, 2, 4, 8),
        *(10, 10),
    ]
    assert delay_before_retry(None, 3) == 0


def test_without_a_rule_of_the_job_the_workers_counts_and_then_the_queues() -> None:
    assert resolve(None, None) is None
    assert resolve(5, True) == Retention(False, None, 5)
    assert resolve(None, True) == Retention(True, None, None)
    assert resolve(False, True) == Retention(False, None, None)
    assert resolve(KeepJobs(age=timedelta(hours=1), count=3), None) == Retention(
        False, 3600, 3
    )


@pytest.mark.parametrize("keep", [True, 0, KeepJobs(count=0), KeepJobs(age=0)])
def test_keeping_nothing_is_removing_at_once(keep: Any) -> None:
    rule = resolve(keep, None)
    assert rule is not None
    assert rule.remove
