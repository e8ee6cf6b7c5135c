"""The log of a long-running command: lines of text or of JSON on stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Final

from pgqueue import telemetry
from pgqueue.cli.output import escape

FORMATS: Final = ("text", "json")


class Formatter(logging.Formatter):
    """What the two below have in common."""

    def traceback(self, record: logging.LogRecord) -> str:
        """Return the traceback of a record: the bounded one, if a fact brought it."""
        if record.exc_text or not record.exc_info:
            return record.exc_text or ""
        return self.formatException(record.exc_info)


class TextFormatter(Formatter):
    """`time level message`, in which nothing can command a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; a traceback follows on its own lines."""
        when = datetime.fromtimestamp(record.created, UTC).astimezone()
        lines = [f"{when:%Y-%m-%d %H:%M:%S} {record.levelname.lower():<7} "]
        lines[0] += escape(record.getMessage().rstrip())
        lines += map(escape, self.traceback(record).splitlines())
        return "\n".join(lines)


class JsonFormatter(Formatter):
    """One JSON object a line; the fields of pgqueue's facts are keys of `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage().rstrip(),
        }
        fact = getattr(record, "fact", None)
        if fact is not None:
            line |= {"fact": fact, "fields": getattr(record, "fields", {})}
        if stack := self.traceback(record):
            line["traceback"] = stack
        return json.dumps(line, default=str)


def configure(form: str, *, verbose: bool = False) -> None:
    """Log to stderr, unless the application has set up its own logging.

    Args:
        form: text or json.
        verbose: also what goes well, a line a job; in the application's logging too.
    """
    if verbose:
        telemetry.job_logger.setLevel(logging.DEBUG)
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root.addHandler(handler)
    debug = os.environ.get("PGQUEUE_DEBUG") == "1"
    root.setLevel(logging.DEBUG if debug else logging.INFO)
