"""What the demo's jobs are, and the handler that runs them."""

from __future__ import annotations

import hashlib
import io
import sysconfig
import time
import tokenize
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pgqueue.types import NewJob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgqueue.worker import ActiveJob

LIBRARY: Final = Path(sysconfig.get_paths()["stdlib"])
# Not every Python comes with the broken files of its tests; this one always fails.
MISSING: Final = "a_file_that_is_not_there.py"
NOT_OURS: Final = frozenset({"site-packages", "dist-packages"})
# Files get a priority after these, which are added last and are to run first.
PRIORITIES: Final = (3, 1, 2)
FILE_PRIORITY: Final = 10
DELAYS: Final = (1.0, 2.0, 3.0)


def files() -> Iterator[str]:
    """Return every Python file of the standard library, test data included."""
    for path in sorted(LIBRARY.rglob("*.py")):
        relative = path.relative_to(LIBRARY)
        if NOT_OURS.isdisjoint(relative.parts):
            yield relative.as_posix()


def make_jobs(limit: int | None) -> list[NewJob]:
    """Return the jobs to add: delayed ones, the files, and last some with priority."""
    paths = [*list(files())[:limit], MISSING]
    return [
        *(NewJob("delayed", {"delay": delay}, delay=delay) for delay in DELAYS),
        *(NewJob("file", {"path": path}, priority=FILE_PRIORITY) for path in paths),
        *(NewJob("priority", priority=priority) for priority in PRIORITIES),
    ]


class Handler:
    """Runs the demo's jobs, in threads; remembers in which order they began."""

    def __init__(self) -> None:
        self._place = count(1)

    def __call__(self, job: ActiveJob) -> dict[str, Any]:
        """Run a job; what it returns is stored as its result."""
        place = next(self._place)
        if job.name == "file":
            return {"place": place, **measure(LIBRARY / job.data["path"])}
        if job.name == "delayed":
            # Both instants are the database's.
            waited = (job.claimed_at - job.created_at).total_seconds()
            return {"place": place, "late": waited - job.data["delay"]}
        return {"place": place}


def measure(path: Path) -> dict[str, Any]:
    """Count a file's lines and tokens; raises what `tokenize` does about a bad one."""
    began = time.thread_time()
    content = path.read_bytes()
    tokens = sum(1 for _ in tokenize.tokenize(io.BytesIO(content).readline))
    return {
        "lines": len(content.splitlines()),
        "tokens": tokens,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "seconds": time.thread_time() - began,
    }
