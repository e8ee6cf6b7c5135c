"""`pgqueue worker module:object`, as the process that it is."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from cli.calling import COMMAND, Result, call, environment
from pgqueue import NewJob
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pgqueue import Queue

MODULE = """
import threading
from pgqueue import Worker

def double(job):
    return job.data * 2

async def adouble(job):
    return job.data * 2

def hang(job):
    threading.Event().wait()

worker = Worker("paint", double, concurrency=3)
number = 3
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A folder with an application's modules."""
    (tmp_path / "app.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import app\n\n1 / 0\n")
    (tmp_path / "needy.py").write_text("import no_such_library\n")
    (tmp_path / "exiting.py").write_text("import sys\nsys.exit('bye')\n")
    return tmp_path


@contextmanager
def running(app: Path, dsn: str, *arguments: str, **env: str) -> Iterator[Any]:
    with subprocess.Popen(
        [*COMMAND, "worker", *arguments],
        cwd=app,
        env=environment(dsn, **env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    "arguments",
    [["app:worker"], ["app:double", "-q", "paint"], ["app:adouble", "-q", "paint"]],
)
def test_a_worker_runs_jobs_and_stops_at_sigterm(
    app: Path, dsn: str, queue: Queue, arguments: list[str]
) -> None:
    with running(app, dsn, *arguments) as process:
        queue.add("x", 21)
        until(lambda: queue.counts().completed == 1, 20)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out == ""
    assert "worker.started" in err
    assert "worker.stopped" in err
    assert queue.get(1).result == 42


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_does_not_wait_for_what_runs(
    app: Path, dsn: str, queue: Queue, number: signal.Signals
) -> None:
    queue.add("x")
    with running(app, dsn, "app:hang", "-q", "paint") as process:
        until(lambda: queue.counts().active == 1, 20)
        process.send_signal(number)
        assert "worker.stopping" in next(
            line for line in process.stderr if "stopping" in line
        )
        assert process.poll() is None
        process.send_signal(number)
        process.communicate(timeout=10)
    assert process.returncode == 0
    assert queue.counts().waiting == 1


def test_the_shutdown_timeout_bounds_a_stop(app: Path, dsn: str, queue: Queue) -> None:
    queue.add("x")
    with running(
        app, dsn, "app:hang", "-q", "paint", PGQUEUE_SHUTDOWN_TIMEOUT="100ms"
    ) as process:
        until(lambda: queue.counts().active == 1, 20)
        process.terminate()
        process.communicate(timeout=10)
    assert process.returncode == 0


def test_drain_ends_when_nothing_waits(app: Path, dsn: str, queue: Queue) -> None:
    for number in range(20):
        queue.add("x", number)
    assert worker(app, dsn, "app:worker", "--drain").code == 0
    assert queue.counts().completed == 20


def test_verbose_adds_a_line_for_each_job(app: Path, dsn: str, queue: Queue) -> None:
    queue.add_bulk([NewJob("x", number) for number in range(3)])
    quiet = worker(app, dsn, "app:worker", "--drain")
    assert "job.completed" not in quiet.err
    queue.add_bulk([NewJob("x", number) for number in range(3)])
    lines = worker(app, dsn, "app:worker", "--drain", "--verbose").err.splitlines()
    ended = [line for line in lines if "job.completed" in line]
    assert len(ended) == 3
    assert "job.completed queue=paint name=x job_id=" in ended[0]
    assert " attempt=1 took=" in ended[0]
    assert not [line for line in lines if "worker.claimed" in line]


def test_the_environment_sets_defaults(app: Path, dsn: str, queue: Queue) -> None:
    queue.add("x", 1)
    env = {
        "PGQUEUE_QUEUES": "other, paint",
        "PGQUEUE_CONCURRENCY": "1",
        "PGQUEUE_LOG": "json",
    }
    done = worker(app, dsn, "app:double", "--drain", "--name", "painter", **env)
    assert done.code == 0
    missing, first = map(json.loads, done.err.splitlines()[:2])
    assert (missing["fact"], missing["fields"]["queue"]) == ("queue.missing", "other")
    assert first["fact"] == "worker.started"
    assert first["fields"] == {"name": "painter", "queues": "other,paint"}
    assert queue.counts().completed == 1
    env["PGQUEUE_CONCURRENCY"] = "0"
    refused = worker(app, dsn, "app:double", **env)
    assert "concurrency=0" in refused.complaint


def test_the_command_line_overrides_a_worker(app: Path, dsn: str, queue: Queue) -> None:
    queue.add("x", 1)
    done = worker(app, dsn, "app:worker", "-q", "other", "--name", "n", "--drain")
    assert "worker.started name=n queues=other" in done.err
    assert queue.counts().waiting == 1


def test_the_dsn_of_the_command_line_reaches_the_module(
    app: Path, dsn: str, queue: Queue
) -> None:
    queue.add("x", 1)
    done = worker(
        app, "postgresql://127.0.0.1:1/x", "app:worker", "--drain", "--dsn", dsn
    )
    assert done.code == 0
    assert queue.counts().completed == 1


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("app", "looks like app.jobs:worker"),
        ("app:", "looks like app.jobs:worker"),
        ("apq:worker", "no module 'apq'"),
        ("app.sub:worker", "no module 'app.sub'"),
        ("app:wroker", "did you mean 'worker'?"),
        ("app:double", "name its queue: -q QUEUE"),
        ("app:number", "is a int"),
        ("app:Worker", "is a class"),
        ("broken:worker", "ZeroDivisionError: division by zero (broken.py, line 3)"),
        ("needy:worker", "No module named 'no_such_library' (needy.py, line 1)"),
        ("exiting:worker", "SystemExit: bye"),
    ],
)
def test_a_bad_target_is_one_sentence(
    app: Path, dsn: str, target: str, words: str
) -> None:
    assert words in worker(app, dsn, target).complaint


def test_a_worker_that_cannot_begin_says_so(app: Path, fresh_database: str) -> None:
    refused = worker(app, "postgresql://127.0.0.1:1/x", "app:worker")
    assert "cannot connect" in refused.complaint
    refused = worker(app, fresh_database, "app:worker")
    assert refused.complaint.endswith("run: pgqueue migrate")


def worker(app: Path, dsn: str, *arguments: str, **env: str) -> Result:
    return call("worker", *arguments, env=environment(dsn, **env), cwd=app)


def test_a_queue_that_is_not_there_yet_is_warned_of(
    app: Path, dsn: str, queue: Queue
) -> None:
    queue.add("x", 1)
    named = ("-q", "paint", "-q", "piant", "--drain")
    done = call("worker", "app:double", *named, cwd=app, env=environment(dsn))
    assert done.code == 0
    [line] = [each for each in done.err.splitlines() if "queue.missing" in each]
    assert "queue=piant" in line
    assert "did you mean 'paint'?" in line
    again = call("worker", "app:double", *named, cwd=app, env=environment(dsn))
    assert "queue.missing" not in again.err, "its worker has made it"
    own = call("worker", "app:worker", "--drain", cwd=app, env=environment(dsn))
    assert "queue.missing" not in own.err


def test_a_wrong_way_to_listen_is_one_sentence(app: Path, dsn: str) -> None:
    env = environment(dsn, PGQUEUE_LISTEN="of")
    for command in (["worker", "app:worker"], ["queue", "ls"]):
        done = call(*command, cwd=app, env=env)
        assert "PGQUEUE_LISTEN='of'" in done.complaint
        assert "auto or off" in done.complaint


def test_no_child_is_left(app: Path, dsn: str) -> None:
    worker(app, dsn, "app:worker", "--drain")
    assert not [p for p in psutil.Process().children() if "worker" in p.cmdline()]


@pytest.mark.parametrize("broken", [False, True])
def test_reload_runs_jobs_with_the_code_as_it_is_now(
    app: Path, queue: Queue, dsn: str, *, broken: bool
) -> None:
    """Also when the code could not be imported in between."""
    code = app / "app.py"
    with running(app, dsn, "app:worker", "--reload", "-q", "paint") as process:
        job = queue.add("x", 2)
        until(lambda: queue.get(job.id).state == "completed", 60)
        assert queue.get(job.id).result == 4
        if broken:
            code.write_text("1 / 0\n")
            lines = iter(process.stderr.readline, "")
            assert any("ZeroDivisionError" in line for line in lines)
        code.write_text(MODULE.replace("* 2", "* 5"))
        until(lambda: result_of(queue, 2) == 10, 60)
        worker = psutil.Process(process.pid).children()
        process.terminate()
        assert process.wait(30) == 0
        assert not any(psutil.pid_exists(each.pid) for each in worker)


def result_of(queue: Queue, data: int) -> Any:
    job = queue.add("x", data)
    until(lambda: queue.get(job.id).state == "completed", 60)
    return queue.get(job.id).result


def test_reload_stops_the_old_worker_gracefully(
    app: Path, queue: Queue, dsn: str
) -> None:
    slow = (
        "import pathlib\ndef wait(job):\n    while not pathlib.Path('go').exists():\n"
    )
    slow += "        threading.Event().wait(0.05)\n    return 'old'\n"
    (app / "app.py").write_text(MODULE + slow)
    with running(app, dsn, "app:wait", "--reload", "-q", "paint") as process:
        job = queue.add("x")
        until(lambda: queue.get(job.id).state == "active", 60)
        (app / "app.py").write_text(MODULE + slow.replace("old", "new"))
        lines = iter(process.stderr.readline, "")
        assert any("restarts" in line for line in lines)
        (app / "go").touch()
        until(lambda: queue.get(job.id).state == "completed", 60)
        assert queue.get(job.id).result == "old"
        until(lambda: result_of(queue, 0) == "new", 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_a_worker_ends_with_the_process_that_reloads_it(app: Path, dsn: str) -> None:
    with running(app, dsn, "app:worker", "--reload") as process:
        parent = psutil.Process(process.pid)
        until(parent.children, 60)
        [worker] = parent.children()
        process.kill()
        until(lambda: not psutil.pid_exists(worker.pid), 60)


def test_reload_and_drain_do_not_go_together(app: Path, dsn: str) -> None:
    assert "--drain" in worker(app, dsn, "app:worker", "--reload", "--drain").complaint
