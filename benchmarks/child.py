"""Functions of a benchmark in processes of their own, over JSON lines.

A side of a benchmark that runs in a fresh process shares no heap, no garbage collector
and no connection with the other sides.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from typing import IO, Any, Self, cast


class Child:
    """One function of one module, running in another process.

    Args:
        function: `module:name`, the module under `benchmarks`.
        environ: set in the child on top of this process's environment.
        cwd: where it runs; here, if not said.
        **arguments: passed to the function; JSON values.
    """

    def __init__(
        self,
        function: str,
        *,
        environ: dict[str, str] | None = None,
        cwd: str | None = None,
        **arguments: Any,
    ) -> None:
        command = [sys.executable, "-m", "benchmarks.child", function]
        self._process = subprocess.Popen(
            [*command, json.dumps(arguments)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env={**os.environ, **(environ or {})},
        )
        self._output = cast("IO[str]", self._process.stdout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._output.close()

    def read(self) -> Any:
        """Return the next thing the child says: with `say`, or its result.

        Raises:
            RuntimeError: the child ended without a word.
        """
        line = self._output.readline()
        if not line:
            raise RuntimeError(f"the child died with status {self._process.wait()}")
        return json.loads(line)

    def stop(self) -> Any:
        """Ask a worker that runs in the child to stop, and return the result."""
        self._process.send_signal(signal.SIGTERM)
        return self.read()


def call(function: str, **arguments: Any) -> Any:
    """Run a function in another process and return its result."""
    with Child(function, **arguments) as child:
        return child.read()


def say(value: Any) -> None:
    """Send a value to the parent."""
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    module, _, name = sys.argv[1].partition(":")
    run = getattr(importlib.import_module(f"benchmarks.{module}"), name)
    say(run(**json.loads(sys.argv[2])))
