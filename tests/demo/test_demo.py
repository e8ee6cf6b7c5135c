"""`pgqueue demo` from beginning to end, and interrupted anywhere in between."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest

from cli.calling import COMMAND, call, environment
from pgqueue import Queue
from pgqueue.demo.work import LIBRARY, files, measure
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

FEW = "20"


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of this test's own, short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="pgq-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o777)
        monkeypatch.setenv("TMPDIR", name)
        yield folder


@pytest.fixture
def started(temporary: Path) -> Iterator[Any]:
    """A demo that runs, with its own folder for temporary files."""
    process = subprocess.Popen(
        [*COMMAND, "demo", "--keep", "--limit", FEW],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(PYTHONUNBUFFERED="1"),
        start_new_session=True,
    )
    with process:
        yield process
        process.kill()


def servers_in(folder: Path) -> list[int]:
    """Return the processes of servers whose folder is inside this one."""
    return [
        process.info["pid"]
        for process in psutil.process_iter(["pid", "cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or ())
    ]


def line_with(process: Any, words: str) -> str:
    return next(line for line in process.stdout if words in line)


def test_the_demo_runs_with_nothing_around_it(temporary: Path) -> None:
    done = call("demo", "--limit", FEW, env=environment())
    assert done.code == 0, done
    assert done.err == ""
    assert all(c == "\n" or c.isprintable() for c in done.out)
    assert re.search(r"completed +26\n", done.out)
    assert re.search(r"failed +1\n", done.out)
    assert re.search(r"slowest files +lines +tokens +time\n\w", done.out)
    assert re.search(r"failed files +reason\n", done.out)
    assert re.search(r"a_file_that_is_not_there.py +.* No such file", done.out)
    assert re.search(r"began as 1, 2, 3: in the places 1, 2, 3 of 27", done.out)
    late = re.search(r"by 1, 2, 3 s, began (\d+), (\d+), (\d+) ms after", done.out)
    assert late
    assert all(int(each) < 5000 for each in late.groups())
    assert re.search(r"27 jobs in [\d.]+ s, \d+ jobs/s", done.out)
    assert not servers_in(temporary)
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("starting", signal.SIGINT),
        ("up and migrated", signal.SIGINT),
        ("added", signal.SIGINT),
        ("starting", signal.SIGTERM),
        ("added", signal.SIGHUP),
    ],
)
def test_an_interrupt_leaves_nothing_behind(
    started: Any, temporary: Path, moment: str, number: signal.Signals
) -> None:
    line_with(started, moment)
    started.send_signal(number)
    out, err = started.communicate(timeout=30)
    assert started.returncode == 130
    assert err == "\n"
    assert out.endswith("stopped; the private PostgreSQL and its folder are gone\n")
    assert not servers_in(temporary)
    assert not list(temporary.iterdir())


def test_keep_leaves_the_server_up_until_ctrl_c(started: Any, temporary: Path) -> None:
    dsn = line_with(started, "PGQUEUE_DSN=").partition("'")[2].partition("'")[0]
    # Told before there is a job, so that others can look on.
    line_with(started, "found and added")
    line_with(started, "psql")
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    (queue,) = call("queue", "ls", "--json", env=environment(dsn)).json
    assert (queue["name"], queue["completed"]) == ("demo", 26)
    started.send_signal(signal.SIGINT)
    started.communicate(timeout=30)
    assert started.returncode == 0
    assert not servers_in(temporary)


def test_with_a_dsn_it_uses_that_database_and_leaves_others_jobs(
    dsn: str, temporary: Path
) -> None:
    with Queue("paint", dsn=dsn) as paint:
        paint.add("mine")
        for _ in range(2):
            done = call("demo", "--limit", "2", "--dsn", dsn)
            assert done.code == 0, done
            assert "queue demo" in done.out.splitlines()[0]
        assert "removed 9 jobs of an earlier demo" in done.out
        assert paint.count() == 1
    assert not list(temporary.iterdir())
    with Queue("demo", dsn=dsn) as demo:
        assert demo.counts().completed == 8
        job = next(job for job in demo.jobs("completed") if job.name == "file")
        result, content = job.result, (LIBRARY / job.data["path"]).read_bytes()
        assert result["bytes"] == len(content)
        assert result["sha256"] == hashlib.sha256(content).hexdigest()
        assert result["lines"] == len(content.splitlines())
        assert result["tokens"] > 0
        demo.add("not the demo's")
        refused = call("demo", env=environment(dsn))
        assert refused.code == 2
        assert "jobs that are not the demo's" in refused.err
        assert demo.counts().total == 10


def test_one_demo_at_a_time_and_an_interrupt_stops_its_worker(dsn: str) -> None:
    with (
        subprocess.Popen(
            [*COMMAND, "demo", "--dsn", dsn],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(PYTHONUNBUFFERED="1"),
        ) as process,
        Queue("demo", dsn=dsn) as queue,
    ):
        until(lambda: queue.counts().completed > 0, 20)
        other = call("demo", "--dsn", dsn)
        assert other.code == 2
        assert "another demo uses" in other.err
        assert not queue.is_paused()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        counts = queue.counts()
        assert counts.active == 0
        again = call("demo", "--dsn", dsn, "--limit", "2")
        assert again.code == 0, again
        assert f"removed {counts.total:,} jobs of an earlier demo" in again.out
        assert queue.counts().completed == 8


TAKE_TERMINAL = (
    "import fcntl, os, sys, termios;"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


def test_on_a_terminal_a_bar_moves_and_ctrl_c_leaves_nothing_behind(
    temporary: Path,
) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, *COMMAND[1:], "demo"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="xterm-256color", COLUMNS="100"),
        start_new_session=True,
    ) as process:
        os.close(theirs)
        seen = b""
        # The bar's colours stand between its numbers.
        while len(set(re.findall(rb"(\d+)\D{0,20} of ", seen))) < 2:
            seen += os.read(ours, 65536)
        os.write(ours, b"\x03")  # what the terminal makes a SIGINT to all in it
        with suppress(OSError):  # how Linux says that the other end is closed
            while more := os.read(ours, 65536):
                seen += more
        assert process.wait(20) == 130
    os.close(ours)
    assert b"\xe2\x94\x81" in seen, "a bar"
    assert b"waiting" in seen
    assert b"the private PostgreSQL and its folder are gone" in seen
    assert b"Traceback" not in seen
    assert not servers_in(temporary)
    assert not list(temporary.iterdir())


def test_the_whole_library_is_read() -> None:
    found = list(files())
    assert "json/decoder.py" in found
    assert not [name for name in found if "site-packages" in name]
    assert (LIBRARY / "os.py").stat().st_size == measure(LIBRARY / "os.py")["bytes"]


def test_a_file_that_is_no_python_fails_with_the_reason(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_bytes(b"# -*- coding: uft-8 -*-\n")
    with pytest.raises(SyntaxError, match="uft-8"):
        measure(bad)


def test_the_demo_needs_no_rights_of_its_folder(temporary: Path) -> None:
    """Called where the current directory cannot be read, as after `su`."""
    closed = temporary / "closed"
    closed.mkdir(mode=0o700)
    done = call("demo", "--limit", "1", env=environment(), cwd=closed)
    assert done.code == 0, done
    assert list(temporary.iterdir()) == [closed]
