"""A worker that is process 1 of its container, and no one's root."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import Queue
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[..., Any]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SLOW = """
import threading
from pathlib import Path
from pgqueue import Worker

def finish(job):
    threading.Event().wait(job.data["seconds"])
    return Path("/proc/1/cmdline").read_text().split("\\0")[:3]

worker = Worker("paint", finish, concurrency=1)
"""


@pytest.fixture
def queue(dsn: str) -> Iterator[Queue]:
    with Queue("paint", dsn=dsn) as made:
        yield made


def slow_worker(container: Run, **env: str) -> Any:
    """Start a worker of an application that is written when the container starts."""
    command = (
        "cd /tmp && printf '%s' \"$APP\" >slow.py && exec pgqueue worker slow:worker"
    )
    return container("sh", "-c", command, APP=SLOW, **env)


def test_the_worker_runs_jobs_as_process_1_without_root(
    container: Run, queue: Queue
) -> None:
    job = queue.add("swatch", {"color": "#3366ff"})
    worker = container()
    until(lambda: queue.get(job.id).state == "completed", 60)
    assert worker.exec_run("cat /proc/1/cmdline").output.split(b"\0")[2] == b"worker"
    assert worker.exec_run("id -u").output == b"10001\n"


def test_stopping_lets_what_runs_finish_and_gives_the_rest_back(
    container: Run, queue: Queue
) -> None:
    running = queue.add("slow", {"seconds": 2})
    claimed = queue.add("slow", {"seconds": 2})
    worker = slow_worker(container)
    until(lambda: queue.get(running.id).state == "active", 60)
    worker.stop(timeout=120)
    assert worker.wait()["StatusCode"] == 0
    assert queue.get(running.id).state == "completed"
    assert (queue.get(claimed.id).state, queue.get(claimed.id).attempt) == (
        "waiting",
        0,
    )
    assert b"worker.stopped" in worker.logs()


def test_a_stop_while_the_application_is_imported_does_not_wait_for_sigkill(
    container: Run,
) -> None:
    worker = container(
        "sh",
        "-c",
        "cd /tmp && printf '%s' \"$APP\" >slow.py && exec pgqueue worker slow:worker",
        APP="print('importing', flush=True)\nimport threading\nthreading.Event().wait()",
    )
    until(lambda: b"importing" in worker.logs(), 60)
    worker.stop(timeout=120)
    assert worker.wait()["StatusCode"] == 143


def test_a_stop_that_cannot_wait_puts_the_job_back(
    container: Run, queue: Queue
) -> None:
    job = queue.add("slow", {"seconds": 3600})
    worker = slow_worker(container, PGQUEUE_SHUTDOWN_TIMEOUT="100ms")
    until(lambda: queue.get(job.id).state == "active", 60)
    worker.stop(timeout=120)
    assert worker.wait()["StatusCode"] == 0
    assert queue.get(job.id).state == "waiting"


def test_the_image_migrates_and_knows_its_health(container: Run, queue: Queue) -> None:
    migration = container("pgqueue", "migrate", "--check")
    assert migration.wait()["StatusCode"] == 0
    worker = container()
    until(lambda: worker.exec_run("pgqueue health").exit_code == 0, 60)
    worker.stop(timeout=120)
    after = container("pgqueue", "health")
    assert after.wait()["StatusCode"] == 2
