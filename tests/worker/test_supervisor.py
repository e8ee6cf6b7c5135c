"""`processes=N`: N processes work, and what dies is replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import IO, TYPE_CHECKING

import psutil

from pgqueue import NewJob
from waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Sql
    from pgqueue import Queue

SCRIPT = """
import os, threading
from pgqueue import Worker

def handler(job):
    if job.data == "slow":
        threading.Event().wait(0.5)
    return os.getpid()

worker = Worker("work", handler, concurrency=2, processes=3, lease=5)
"""


RESIZED = """
import threading
from pathlib import Path
from pgqueue import Worker

def hold(job):
    threading.Event().wait(0.5 if job.data is None else 60)

worker = Worker("work", hold, concurrency=1, processes=2, lease=5, shutdown_timeout=0)

def follow():
    while True:
        threading.Event().wait(0.05)
        if (told := Path("concurrency")).exists() and (text := told.read_text()):
            worker.concurrency = int(text)

threading.Thread(target=follow, daemon=True).start()
"""


def start(
    tmp_path: Path,
    dsn: str,
    *options: str,
    script: str = SCRIPT,
    stderr: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    (tmp_path / "jobs.py").write_text(script)
    return subprocess.Popen(
        [sys.executable, "-m", "pgqueue", "worker", "jobs:worker", *options],
        cwd=tmp_path,
        env={**os.environ, "PGQUEUE_DSN": dsn},
        stderr=stderr,
    )


def workers(sql: Sql) -> set[int]:
    return {
        row[0]
        for row in sql.all("SELECT pid FROM pgqueue.worker WHERE dead_at IS NULL")
    }


def test_n_processes_share_the_work_and_end_when_told(
    tmp_path: Path, dsn: str, queue: Queue, sql: Sql
) -> None:
    process = start(tmp_path, dsn)
    try:
        until(lambda: len(workers(sql)) == 3, 60)
        queue.add_bulk([NewJob("x", "slow") for _ in range(24)])
        until(lambda: queue.counts().completed == 24, 60)
        pids = {row[0] for row in sql.all("SELECT result::text FROM pgqueue.finished")}
        assert len(pids) == 3
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert workers(sql) == set()


HANGING = """
import threading
from pgqueue import Worker

def hang(job):
    threading.Event().wait()

worker = Worker("work", hang, concurrency=1, processes=2, shutdown_timeout=600)
"""


def test_a_second_signal_to_the_supervisor_cuts_all_processes_off(
    tmp_path: Path, dsn: str, queue: Queue, sql: Sql
) -> None:
    queue.add_bulk([NewJob("x") for _ in range(2)])
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = start(tmp_path, dsn, script=HANGING, stderr=stderr)
    try:
        until(lambda: len(workers(sql)) == 2 and queue.counts().active == 2, 60)
        process.send_signal(signal.SIGTERM)
        until(lambda: log.read_text().count("worker.stopping") == 2, 60)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
    assert workers(sql) == set()
    assert {(job.state, job.attempt) for job in queue.jobs()} == {("waiting", 0)}


def test_a_process_that_dies_is_replaced_and_its_jobs_run_again(
    tmp_path: Path, dsn: str, queue: Queue, sql: Sql
) -> None:
    process = start(tmp_path, dsn)
    try:
        until(lambda: len(workers(sql)) == 3, 60)
        queue.add_bulk([NewJob("x", "slow") for _ in range(30)])
        until(lambda: queue.counts().active > 0)
        victim = min(workers(sql))
        os.kill(victim, signal.SIGKILL)
        until(lambda: queue.counts().completed == 30, 60)
        until(lambda: len(workers(sql) - {victim}) == 3, 60)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_drained_processes_are_not_replaced(
    tmp_path: Path, dsn: str, queue: Queue
) -> None:
    queue.add_bulk([NewJob("x", n) for n in range(50)])
    process = start(tmp_path, dsn, "--drain")
    assert process.wait(60) == 0
    assert queue.counts().completed == 50


def test_no_process_outlives_a_supervisor_that_was_killed_for_long(
    tmp_path: Path, dsn: str, queue: Queue, sql: Sql
) -> None:
    process = start(tmp_path, dsn)
    until(lambda: len(workers(sql)) == 3, 60)
    children = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    until(lambda: not any(child.is_running() for child in children), 60)


def test_a_concurrency_set_in_the_supervisor_reaches_its_processes(
    tmp_path: Path, dsn: str, queue: Queue, sql: Sql
) -> None:
    process = start(tmp_path, dsn, script=RESIZED)
    try:
        queue.add_bulk([NewJob("x", "long") for _ in range(10)])
        until(lambda: queue.counts().active >= 2, 60)
        # A process has claimed what it may run; one or two ahead count as active too.
        (tmp_path / "concurrency").write_text("5")
        until(lambda: queue.counts().active == 10, 60)
        [victim, *_] = workers(sql)
        os.kill(victim, signal.SIGKILL)
        # Its replacement begins with what was set meanwhile.
        until(lambda: len(workers(sql) - {victim}) == 2, 60)
        until(lambda: queue.counts().active == 10, 60)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
