"""What the log says about the runs of a worker."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from isolated_handlers import by_kind
from pgqueue import JobFailed, Queue, RetryLater, Unrecoverable, Worker
from pgqueue.cli.logs import JsonFormatter, TextFormatter
from working import KINDS, Heard, drain, handler_of

if TYPE_CHECKING:
    from pgqueue import Job

each_kind = pytest.mark.parametrize("kind", KINDS)


class NoText(Exception):
    """An exception whose type says it all."""


def raising(error: BaseException) -> Any:
    """Return a handler that raises."""

    def body(_job: Any) -> None:
        raise error.with_traceback(None)

    return body


def told(caplog: pytest.LogCaptureFixture, fact: str) -> list[logging.LogRecord]:
    return [r for r in caplog.records if getattr(r, "fact", None) == fact]


async def test_a_failed_run_is_logged_with_its_name_and_its_traceback(
    dsn: str, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    job = queue.add("paint", {})
    await drain(Worker("work", lambda job: job.data["n"], dsn=dsn))
    (record,) = told(caplog, "job.failed")
    assert record.levelname == "ERROR"
    message = record.getMessage()
    assert f"queue=work name=paint job_id={job.id} attempt=1" in message
    assert message.endswith("reason=KeyError: 'n'")
    shown = TextFormatter().format(record).splitlines()
    assert shown[1] == "Traceback (most recent call last):"
    assert any("test_telling.py" in line for line in shown)
    assert shown[-1] == "KeyError: 'n'"


async def test_the_row_of_an_error_of_the_servers_is_in_the_traceback_only(
    dsn: str, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    """So that a filter which drops the traceback keeps it out of the log."""

    def handler(_job: Any) -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TEMP TABLE person (mail text UNIQUE)")
            connection.execute(
                "INSERT INTO person VALUES ('a@b.example'), ('a@b.example')"
            )

    queue.add("paint")
    await drain(Worker("work", handler, dsn=dsn))
    (record,) = told(caplog, "job.failed")
    assert "a@b.example" in TextFormatter().format(record)
    assert "UniqueViolation: duplicate key" in record.getMessage()
    record.exc_info = record.exc_text = None
    for formatter in (TextFormatter(), JsonFormatter(), logging.Formatter()):
        assert "a@b.example" not in formatter.format(record)


@each_kind
async def test_a_run_that_is_repeated_is_logged_with_its_traceback_too(
    dsn: str, queue: Queue, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    queue.add("paint", attempts=2)
    handler = handler_of(kind, raising(ValueError("no paint")))
    await drain(Worker("work", handler, dsn=dsn))
    (retrying,) = told(caplog, "job.retrying")
    (failed,) = told(caplog, "job.failed")
    for record in (retrying, failed):
        assert record.getMessage().endswith("reason=ValueError: no paint")
        assert "ValueError: no paint" in TextFormatter().format(record)
        assert record.exc_info is not None
        assert record.exc_info[0] is ValueError


async def test_another_run_that_a_handler_asks_for_is_no_error(
    dsn: str, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(job: Any) -> None:
        if not queue.attempts(job.id) and not told(caplog, "job.retrying"):
            raise RetryLater(0)

    queue.add("paint")
    await drain(Worker("work", handler, dsn=dsn))
    (record,) = told(caplog, "job.retrying")
    assert "Traceback" not in TextFormatter().format(record)


@pytest.mark.parametrize(
    ("data", "logged"), [("raise", "ValueError: on purpose"), ("final", "not again")]
)
async def test_what_a_child_process_raised_is_logged_with_its_type(
    dsn: str, queue: Queue, caplog: pytest.LogCaptureFixture, data: str, logged: str
) -> None:
    queue.add("x", data)
    await drain(Worker("work", by_kind, isolation="process", dsn=dsn))
    (record,) = told(caplog, "job.failed")
    kind = "ValueError" if data == "raise" else "Unrecoverable"
    assert f"reason={kind}: " in record.getMessage()
    shown = TextFormatter().format(record)
    assert "isolated_handlers.py" in shown
    assert shown.endswith(logged)


@each_kind
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("n"), "KeyError: 'n'"),
        (SystemExit(3), "SystemExit: 3"),
        (SystemExit("bye"), "SystemExit: bye"),
        (ValueError(42), "ValueError: 42"),
        (NoText(), "NoText"),
        (ValueError("no paint"), "no paint"),
        (Unrecoverable("no such address"), "no such address"),
    ],
)
async def test_a_reason_that_would_say_nothing_is_kept_with_its_type(
    dsn: str, queue: Queue, kind: str, error: BaseException, reason: str
) -> None:
    job = queue.add("paint")
    worker = Worker("work", handler_of(kind, raising(error)), dsn=dsn)
    heard = Heard(worker, "failed")
    await drain(worker)
    (stored,) = queue.attempts(job.id)
    assert (queue.get(job.id).error, stored.error) == (reason, reason)
    [(_, failure)] = heard.of("failed")
    assert str(failure) == reason
    with pytest.raises(JobFailed) as raised:
        queue.result(job.id, timeout=20)
    assert str(raised.value) == reason


@each_kind
async def test_each_job_is_logged_once_its_logger_is_at_debug(
    dsn: str, queue: Queue, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    def body(job: Any) -> None:
        return None

    def add() -> Job:
        return queue.add("paint")

    caplog.set_level(logging.INFO, logger="pgqueue")
    caplog.set_level(logging.NOTSET, logger="pgqueue.job")
    add()
    await drain(Worker("work", handler_of(kind, body), dsn=dsn))
    assert not told(caplog, "job.completed")
    caplog.set_level(logging.DEBUG, logger="pgqueue.job")
    second = add()
    await drain(Worker("work", handler_of(kind, body), dsn=dsn))
    (record,) = told(caplog, "job.completed")
    assert record.name == "pgqueue.job"
    message = record.getMessage()
    begins = f"job.completed queue=work name=paint job_id={second.id} attempt=1 took="
    assert message.startswith(begins)
    assert 0 <= float(message.removeprefix(begins)) < 60
    assert not told(caplog, "worker.claimed")
