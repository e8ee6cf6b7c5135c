"""The log of `pgqueue worker`."""

from __future__ import annotations

import json
import logging

import pytest

from pgqueue import telemetry
from pgqueue.cli.logs import JsonFormatter, TextFormatter


@pytest.fixture
def record(caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    """The log record of a fact."""
    with caplog.at_level(logging.INFO, logger="pgqueue"):
        telemetry.emit("worker.started", name="\x1b[31mred", queues="a,b")
    return caplog.records[0]


def test_text_cannot_command_the_terminal(record: logging.LogRecord) -> None:
    line = TextFormatter().format(record)
    assert line.endswith(r"info    worker.started name=\x1b[31mred queues=a,b")


def test_json_has_the_fields_of_a_fact(record: logging.LogRecord) -> None:
    line = json.loads(JsonFormatter().format(record))
    assert line["fact"] == "worker.started"
    assert line["fields"] == {"name": "\x1b[31mred", "queues": "a,b"}
    assert line["level"] == "info"


def test_json_keeps_a_traceback_on_its_line(caplog: pytest.LogCaptureFixture) -> None:
    try:
        int("on purpose")
    except ValueError:
        logging.getLogger("app").exception("what happened")
    text = JsonFormatter().format(caplog.records[0])
    assert "\n" not in text
    assert "ValueError: invalid literal" in json.loads(text)["traceback"]
    assert "on purpose" in TextFormatter().format(caplog.records[0])
