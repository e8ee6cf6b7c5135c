"""The log of a long-running command: lines of text or of JSON on stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Final

from pgqueue.cli.output import escape

FORMATS: Final = ("text", "json")


class TextFormatter(logging.Formatter):
    """`time level message`, in which nothing can command a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; a traceback follows on its own lines."""
        when = datetime.fromtimestamp(record.created, UTC).astimezone()
        lines = [f"{when:%Y-%m-%d %H:%M:%S} {record.levelname.lower():<7} "]
        lines[0] += escape(record.getMessage().rstrip())
        if record.exc_info:
            lines += map(escape, self.formatException(record.exc_info).splitlines())
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
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
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(form: str) -> None:
    """Log to stderr, unless the application has set up its own logging."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root.addHandler(handler)
    debug = os.environ.get("PGQUEUE_DEBUG") == "1"
    root.setLevel(logging.DEBUG if debug else logging.INFO)
