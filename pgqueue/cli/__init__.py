"""The command `pgqueue`: one file per group of commands, all of them thin.

Needs the extra `cli` (click and rich); nothing else of pgqueue imports this.
"""

from __future__ import annotations

import sys

MISSING = 'pgqueue: the command needs its extra; run: pip install "pgqueue-jobs[cli]"'


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code; no error leaves as a traceback."""
    try:
        from pgqueue.cli.app import run  # noqa: PLC0415  the extra may be missing
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        print(MISSING, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return run(arguments)
