"""Call the command as a shell would, in this process or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

COMMAND = (sys.executable, "-m", "pgqueue")


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one sentence of a command that was refused."""
        assert self.code == 2, self
        assert self.out == "", self
        assert self.err.startswith("pgqueue: "), self
        assert self.err.count("\n") == 1, self
        assert "Traceback" not in self.err
        return self.err.removeprefix("pgqueue: ").rstrip("\n")


def environment(dsn: str | None = None, **more: str) -> dict[str, str]:
    """Return the environment of a command that uses the test's database."""
    named = {} if dsn is None else {"PGQUEUE_DSN": dsn}
    return {**os.environ, **named, **more}


def call(*arguments: str, env: dict[str, str] | None = None, **more: Any) -> Result:
    """Run the command in a process of its own."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=env,
        **{"stdin": subprocess.DEVNULL, "timeout": 60, **more},
    )
    return Result(done.returncode, done.stdout, done.stderr)
