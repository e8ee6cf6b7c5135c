"""`pgqueue events`: one event a line, for people and for programs."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

from cli.calling import COMMAND, environment
from pgqueue import QueueEvents
from waiting import until

if TYPE_CHECKING:
    from cli.conftest import Cli
    from conftest import Sql
    from pgqueue import Queue


def test_a_consumer_reads_on_where_it_stopped(cli: Cli, dsn: str, queue: Queue) -> None:
    QueueEvents("paint", "me", dsn=dsn).subscribe()
    job = queue.add("blue")
    told: list[dict[str, object]] = []

    def read() -> int:
        # A writer in another database of the server may hold an event back for a while.
        done = cli("events", "paint", "--consumer", "me", "--json")
        told.extend(json.loads(line) for line in done.out.splitlines())
        return len(told)

    until(lambda: read() >= 2)
    assert [(one["name"], one["job_id"]) for one in told] == [
        ("added", job.id),
        ("waiting", job.id),
    ]
    queue.remove(job.id)
    done = cli("events", "paint", "-f", "--timeout", "2s", "--consumer", "me")
    assert done.code == 0
    assert "removed" in done.out
    assert f"job {job.id}" in done.out
    assert done.out.count("\n") == 1
    assert "Ctrl-C" in done.err


def test_following_prints_what_happens_from_then_on_until_ctrl_c(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    queue.add("before")
    process = subprocess.Popen(
        [*COMMAND, "events", "paint", "-f", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(dsn),
    )
    try:
        assert process.stdout
        until(lambda: sql.all("SELECT FROM pgqueue.subscriber WHERE xid IS NOT NULL"))
        until(lambda: sql.value("SELECT events FROM pgqueue.queue"))
        for name in ("first", "second"):
            job = queue.add(name)
            told = [json.loads(process.stdout.readline()) for _ in range(2)]
            assert [(one["name"], one["job_id"]) for one in told] == [
                ("added", job.id),
                ("waiting", job.id),
            ]
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.wait(60)
    finally:
        process.kill()
        process.communicate()
    assert sql.all("SELECT FROM pgqueue.subscriber") == []


def test_without_a_consumer_nothing_is_left_behind(cli: Cli, queue: Queue) -> None:
    queue.add("blue")
    assert cli("events", "paint").out == ""
    queue.add("red")
    assert cli("events", "paint", "--begin").out == ""


def test_a_queue_whose_events_nobody_follows_is_told_apart_from_a_quiet_one(
    cli: Cli, queue: Queue
) -> None:
    queue.add("blue")
    for more in ((), ("--begin",), ("--json",)):
        done = cli("events", "paint", *more)
        assert (done.code, done.out) == (0, "")
        assert "only while somebody is subscribed; follow with -f" in done.err
    assert cli("events", "paint", "--consumer", "me").err == ""
    followed = cli("events", "paint", "-f", "--timeout", "100ms")
    assert "only while" not in followed.err


def test_a_mistyped_queue_is_refused(cli: Cli) -> None:
    assert "no queue 'pant'" in cli("events", "pant").complaint
