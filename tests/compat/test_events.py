"""`QueueEvents`, its producer, and abort signals of the compatibility module."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from compat.conftest import Heard
from pgqueue import ConfigError
from pgqueue.compat.bullmq import (
    AbortController,
    AbortError,
    Job,
    Queue,
    QueueEvents,
    QueueEventsProducer,
    Worker,
)
from waiting import until_async

if TYPE_CHECKING:
    from compat.conftest import Made


async def returns(job: Job, token: str) -> Any:
    return {"was": job.data}


async def test_what_happens_is_told_with_the_job_s_id(made: Made, queue: Queue) -> None:
    events = made.events(lastEventId="0")
    heard = Heard(events, "added", "waiting", "active", "completed", "completed:own")
    await queue.add("paint", 1, {"jobId": "own"})
    made.worker(returns)
    calls = await heard.wait(5)
    assert [call[0] for call in calls] == [
        "added",
        "waiting",
        "active",
        "completed",
        "completed:own",
    ]
    assert {call[1]["jobId"] for call in calls} == {"own"}
    assert calls[0][1]["name"] == "paint"
    assert calls[3][1]["returnvalue"] == {"was": 1}
    assert isinstance(calls[3][2], str)


async def test_an_add_before_run_is_seen_from_the_beginning(
    made: Made, queue: Queue
) -> None:
    events = made.events(lastEventId="0", autorun=False)
    heard = Heard(events, "added")
    await queue.add("paint", 1)
    assert not events.running
    running = asyncio.ensure_future(events.run())
    await heard.wait()
    assert events.running
    await events.close()
    await events.close()
    assert await running is None
    assert events.closed
    assert not events.running


async def test_a_listener_can_be_taken_off(made: Made, queue: Queue) -> None:
    events, calls = made.events(), []

    def listener(*args: Any) -> None:
        calls.append(args)

    events.on("added", listener)
    events.off("added", listener)
    heard = Heard(events, "paused", "resumed")
    await until_async(lambda: events.running)
    await queue.add("paint", 1)
    await queue.pause()
    await queue.resume()
    await heard.wait(2)
    assert calls == []


async def test_a_method_can_be_taken_off(made: Made) -> None:
    class Listening:
        heard = 0

        def listen(self) -> None:
            self.heard += 1

    worker, listening = made.worker(None), Listening()
    worker.on("paused", listening.listen)
    await worker.pause()
    worker.off("paused", listening.listen)
    await worker.pause()
    assert listening.heard == 1


async def test_own_events_are_published(made: Made) -> None:
    events = made.events(lastEventId="0")
    heard = Heard(events, "told", "told:7")
    producer = QueueEventsProducer("paint")
    await producer.publishEvent({"eventName": "told", "text": "hello", "jobId": "7"})
    calls = await heard.wait(2)
    await producer.close()
    assert [call[1] for call in calls] == [{"text": "hello", "jobId": "7"}] * 2


async def test_an_abort_happens_once() -> None:
    controller = AbortController()
    controller.signal.throw_if_aborted()
    controller.abort("first")
    controller.abort("second")
    assert controller.signal.reason == "first"
    await controller.signal.wait()
    with pytest.raises(AbortError) as raised:
        controller.signal.throw_if_aborted()
    assert raised.value.reason == "first"


def test_a_new_loop_starts_afresh(dsn: str) -> None:
    async def work() -> Any:
        queue = Queue("paint", {"connection": dsn})
        worker = Worker("paint", returns, {"connection": dsn})
        heard = Heard(worker, "completed")
        await queue.add("paint", 1)
        [(_, job, _)] = await heard.wait()
        await queue.close()
        await worker.close()
        return job.id

    assert [asyncio.run(work()), asyncio.run(work())] == ["1", "2"]


def test_an_object_that_was_made_before_any_loop_works_in_each(dsn: str) -> None:
    queue = Queue("paint", {"connection": dsn})
    worker = Worker("paint", returns, {"connection": dsn, "autorun": False})

    async def add() -> Any:
        return (await queue.add("paint", 1)).id

    async def work() -> Any:
        heard = Heard(worker, "completed")
        running = asyncio.ensure_future(worker.run())
        await heard.wait(2)
        await worker.close()
        await running
        await queue.close()
        return sorted(call[1].id for call in heard.calls)

    assert [asyncio.run(add()), asyncio.run(add())] == ["1", "2"]
    assert asyncio.run(work()) == ["1", "2"]


async def test_from_the_end_only_what_comes_is_told(made: Made, queue: Queue) -> None:
    begin = made.events(lastEventId="0")
    seen = Heard(begin, "added")
    await queue.add("paint", 1)
    await seen.wait()
    end = made.events(lastEventId="$")
    heard = Heard(end, "added")
    await until_async(lambda: end.running)
    ids = []
    while not heard.calls:
        ids.append((await queue.add("paint", 2)).id)
        await until_async(lambda: len(seen.calls) == 1 + len(ids))
    assert all(call[1]["jobId"] in ids for call in heard.calls)


async def test_another_last_event_id_is_refused() -> None:
    with pytest.raises(ConfigError, match="lastEventId"):
        QueueEvents("paint", {"lastEventId": "5-1", "autorun": False})


async def test_each_kind_of_event_has_the_job_s_id(made: Made, queue: Queue) -> None:
    names = ("added", "waiting", "delayed", "active", "progress", "failed", "removed")
    events = made.events(lastEventId="0")
    heard = Heard(events, *names, *(f"{name}:own" for name in names))

    async def fails(job: Job, token: str) -> None:
        await job.updateProgress({"half": True})
        raise RuntimeError("Failed")

    await queue.add("paint", 1, {"jobId": "own", "attempts": 2, "backoff": 1})
    made.worker(fails)
    await until_async(lambda: "failed:own" in [call[0] for call in heard.calls])
    await queue.remove("own")
    await until_async(lambda: "removed:own" in [call[0] for call in heard.calls])
    told = {call[0]: call[1] for call in heard.calls}
    assert set(told) == {*names, *(f"{name}:own" for name in names)}
    assert {args["jobId"] for args in told.values()} == {"own"}
    assert told["progress"]["data"] == {"half": True}
    assert told["failed"]["failedReason"] == "Failed"


async def test_events_of_the_queue_have_no_job(made: Made, queue: Queue) -> None:
    heard = Heard(made.events(lastEventId="0"), "paused", "resumed", "drained")
    await queue.pause()
    await queue.resume()
    await queue.add("paint", 1)
    made.worker(returns)
    calls = await heard.wait(3)
    assert [call[0] for call in calls] == ["paused", "resumed", "drained"]
    assert all("jobId" not in call[1] for call in calls)


async def test_a_published_event_needs_a_name(made: Made) -> None:
    producer = QueueEventsProducer("paint")
    with pytest.raises(ValueError, match="eventName"):
        await producer.publishEvent({"text": "hello"})
    await producer.close()


async def test_a_delayed_job_is_told_with_its_time_in_milliseconds(
    made: Made, queue: Queue
) -> None:
    heard = Heard(made.events(lastEventId="0"), "delayed")
    job = await queue.add("paint", 1, {"delay": 60_000})
    [(_, args, _)] = await heard.wait()
    assert abs(args["delay"] - (job.timestamp or 0) - 60_000) <= 1
    await job.changeDelay(120_000)
    [_, (_, args, event_id)] = await heard.wait(2)
    assert abs(args["delay"] - int(event_id.split("-")[0]) - 120_000) <= 1

    async def fails(job: Job, token: str) -> None:
        raise RuntimeError("Failed")

    await queue.add("paint", 2, {"attempts": 2, "backoff": 60_000})
    made.worker(fails)
    (_, args, event_id) = (await heard.wait(3))[-1]
    assert abs(args["delay"] - int(event_id.split("-")[0]) - 60_000) <= 1000
