"""What the compatibility module has not is refused, and the text says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import ConfigError
from pgqueue.compat.bullmq import (
    FlowProducer,
    Job,
    JobScheduler,
    Queue,
    QueueEvents,
    QueueEventsProducer,
    Worker,
)
from pgqueue.compat.bullmq.options import job_fields
from pgqueue.compat.bullmq.unsupported import (
    ENDPOINT,
    JOB_OPTIONS,
    NAMES,
    QUEUE_OPTIONS,
    SETTINGS,
    TEMPLATE_OPTIONS,
    WORKER_OPTIONS,
)

if TYPE_CHECKING:
    from compat.conftest import Made

THING: dict[str, Any] = {"max": 1}


@pytest.mark.parametrize("name", JOB_OPTIONS)
async def test_a_job_option_without_effect_is_refused(queue: Queue, name: str) -> None:
    with pytest.raises(ConfigError, match=f"job option '{name}' is not supported: "):
        await queue.add("paint", {}, {name: THING})
    assert await queue.getJobCountByTypes() == 0


@pytest.mark.parametrize("name", QUEUE_OPTIONS)
def test_a_queue_option_without_effect_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"queue option '{name}' is not supported: "):
        Queue("paint", {name: THING})


@pytest.mark.parametrize("name", WORKER_OPTIONS)
def test_a_worker_option_without_effect_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"worker option '{name}' is not supported: "):
        Worker("paint", None, {name: THING})


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_a_worker_without_effect_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"settings option '{name}'"):
        Worker("paint", None, {"settings": {name: THING}})


@pytest.mark.parametrize("name", ENDPOINT)
@pytest.mark.parametrize("kind", [FlowProducer, QueueEvents, QueueEventsProducer])
def test_another_option_of_a_connection_is_refused(kind: Any, name: str) -> None:
    with pytest.raises(ConfigError, match=f"option '{name}' is not supported: "):
        kind(None if kind is FlowProducer else "paint", {name: "bullmq"})


def test_postgres_is_the_only_backend() -> None:
    for make in (Queue, QueueEventsProducer):
        with pytest.raises(ConfigError, match="backend"):
            make("paint", {"backend": "redis"})
    assert FlowProducer({"backend": "postgres", "prefix": "own"}).prefix == "own"


@pytest.mark.parametrize(
    "opts",
    [
        {"concurrency": 0},
        {"concurrency": "2"},
        {"lockDuration": 0},
        {"lockDuration": "x"},
        {"lockRenewTime": 0},
        {"stalledInterval": 0},
        {"maxStalledCount": -1},
        {"drainDelay": "x"},
        {"drainDelay": -1},
        {"settings": "own"},
        {"settings": {"backoffStrategy": 5}},
        {"removeOnComplete": "x"},
        {"removeOnFail": {"days": 5}},
    ],
)
def test_a_worker_option_out_of_its_range_is_refused(opts: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is not valid") as raised:
        Worker("paint", None, opts)
    assert next(iter(opts)) in str(raised.value) or "backoffStrategy" in str(
        raised.value
    )


@pytest.mark.parametrize(
    "opts",
    [
        {"delay": -1},
        {"delay": "soon"},
        {"delay": float("nan")},
        {"priority": -1},
        {"priority": 3_000_000},
        {"attempts": "x"},
        {"attempts": -1},
        {"backoff": -1},
        {"backoff": {"type": "fixed", "delay": "x"}},
        {"keepLogs": -1},
        {"stackTraceLimit": "x"},
        {"deduplication": {"ttl": 5}},
        {"deduplication": {"id": "d", "ttl": "x"}},
        {"removeOnComplete": {"days": 5}},
    ],
)
async def test_a_job_option_out_of_its_range_is_refused_in_bullmq_s_words(
    queue: Queue, opts: dict[str, Any]
) -> None:
    [name] = opts
    with pytest.raises(ConfigError, match=name) as raised:
        await queue.add("paint", {}, opts)
    assert "timedelta" not in str(raised.value)
    assert await queue.getJobCountByTypes() == 0


async def test_options_that_are_not_json_are_refused(queue: Queue) -> None:
    with pytest.raises(ConfigError, match="options are not JSON"):
        await queue.add("paint", {}, {"repeatJobKey": object()})


def test_a_processor_is_a_function() -> None:
    with pytest.raises(ConfigError, match="processor"):
        Worker("paint", "processor.py")  # type: ignore[arg-type]


async def test_a_listener_is_a_function_that_is_not_async(made: Made) -> None:
    async def listener(*args: Any) -> None: ...

    worker = made.worker(None)
    for bad in (listener, None):
        with pytest.raises(ConfigError, match="listener"):
            worker.on("completed", bad)  # type: ignore[arg-type]


async def test_a_repeat_strategy_of_one_s_own_is_refused(queue: Queue) -> None:
    with pytest.raises(ConfigError, match="repeat_strategy"):
        JobScheduler(queue, max)


@pytest.mark.parametrize(
    "repeat", [{"every": -5}, {"every": "x"}, {"every": 5, "offset": "x"}]
)
async def test_a_rule_out_of_its_range_is_refused(
    queue: Queue, repeat: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="milliseconds"):
        await queue.upsertJobScheduler("clean", repeat)
    assert await queue.getJobSchedulersCount() == 0


@pytest.mark.parametrize("name", TEMPLATE_OPTIONS)
async def test_a_scheduler_s_option_without_effect_is_refused(
    queue: Queue, name: str
) -> None:
    with pytest.raises(ConfigError, match=f"scheduler option '{name}'"):
        await queue.upsertJobScheduler("clean", {"every": 5}, opts={name: THING})
    assert await queue.getJobSchedulersCount() == 0


@pytest.mark.parametrize("name", ["", 7, "x" * 300])
async def test_the_id_of_a_scheduler_is_a_name(queue: Queue, name: Any) -> None:
    with pytest.raises(ConfigError, match="job_scheduler_id"):
        await queue.upsertJobScheduler(name, {"every": 5})


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_not_there_says_what_to_do(name: str) -> None:
    things = (Queue("paint"), Worker("paint"), FlowProducer(), QueueEventsProducer(""))
    for thing in (*things, Job(things[0], "paint", {})):
        assert not hasattr(thing, name)
        with pytest.raises(ConfigError) as raised:
            getattr(thing, name)
        kind = type(thing).__name__
        text = f"{kind}.{name} is not supported: {NAMES[name]}"
        assert str(raised.value) == text


def test_any_other_name_is_an_attribute_error() -> None:
    with pytest.raises(
        AttributeError, match=r"Queue\.trimJobs is not supported: there are add, "
    ):
        _ = Queue("paint").trimJobs  # type: ignore[attr-defined]
    assert not hasattr(Queue("paint"), "_private")


@pytest.mark.parametrize("kind", ["nonsense", "waiting_children"])
async def test_an_unknown_type_is_refused(queue: Queue, kind: str) -> None:
    for call in (
        queue.getJobs([kind]),
        queue.getJobCounts(kind),
        queue.clean(0, 10, kind),
    ):
        with pytest.raises(ConfigError, match=kind):
            await call
    job = await queue.add("paint", {})
    for retrying in (queue.retryJobs({"state": kind}), job.retry(kind)):
        with pytest.raises(ConfigError, match="state"):
            await retrying
    with pytest.raises(ConfigError, match="state"):
        await job.retry("waiting")


@pytest.mark.parametrize(
    ("name", "said"),
    [("atempts", "attempts"), ("remove_on_complete", "removeOnComplete")],
)
async def test_a_job_option_that_bullmq_has_not_is_told(
    queue: Queue, name: str, said: str
) -> None:
    text = f"there is no job option '{name}': did you mean '{said}'\\?"
    with pytest.raises(ConfigError, match=text):
        await queue.add("paint", {}, {name: 3})
    assert await queue.getJobCountByTypes() == 0


def test_an_option_of_a_queue_or_worker_that_bullmq_has_not_is_told() -> None:
    with pytest.raises(ConfigError, match="did you mean 'defaultJobOptions'"):
        Queue("paint", {"default_job_options": {}})
    with pytest.raises(ConfigError, match="did you mean 'concurrency'"):
        Worker("paint", None, {"concurency": 3})
    with pytest.raises(ConfigError, match="there are attempts, backoff, "):
        job_fields({"colour": "red"})


def test_a_name_that_is_nowhere_proposes_one_that_is(queue: Queue) -> None:
    with pytest.raises(AttributeError, match="did you mean 'addBulk'"):
        queue.addbulk  # noqa: B018
