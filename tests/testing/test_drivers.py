"""The helpers are in the test's own transaction, whatever its connection is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connections import KINDS, Kind
from pgqueue import testing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Sql
    from pgqueue import ActiveJob

NOWHERE = "host=127.0.0.1 port=1 dbname=nowhere connect_timeout=1"


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest, dsn: str) -> Iterator[Kind]:
    made = request.param(dsn)
    yield made
    made.close()


class Helpers:
    """The helpers for one kind of connection, as calls that block."""

    def __init__(self, kind: Kind, **place: Any) -> None:
        self._kind = kind
        self._place = place

    def __getattr__(self, name: str) -> Any:
        prefix = "a" if self._kind.asynchronous else ""
        helper = getattr(testing, prefix + name)

        def call(*args: Any, **given: Any) -> Any:
            answer = helper(*args, **self._place, **given)
            if self._kind.asynchronous:
                return self._kind.wait(answer)  # type: ignore[attr-defined]
            return answer

        return call


def test_a_whole_test_is_taken_back_by_its_rollback(kind: Kind, sql: Sql) -> None:
    kind.dsn = NOWHERE  # only the test's own connection leads to its database
    queue = kind.queue("mail")
    helpers = Helpers(kind, dsn=NOWHERE, connection=kind.given)

    def handler(job: ActiveJob) -> Any:
        if job.attempt == 1:
            raise ValueError(job.data)
        return job.data

    kind.begin()
    helpers.assert_nothing_added()
    job = queue.add(
        "welcome", 7, delay=300, attempts=2, backoff=60, connection=kind.given
    )
    helpers.assert_added("welcome", queue="mail", data=7, count=1)
    endings = []
    for minutes in (4, 1, 1):
        helpers.travel(minutes=minutes)
        runs = helpers.run_pending(handler, queue="mail")
        endings.append([run.ending for run in runs])
    assert endings == [[], ["retry"], ["completed"]]
    assert queue.get(job.id, connection=kind.given).result == 7
    kind.rollback()
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0
    assert sql.value("SELECT count(*) FROM pgqueue.worker") == 0
