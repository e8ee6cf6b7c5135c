"""Runs Django's own tests of tasks on `PgQueueBackend`: `theirs.py SOURCE`.

They name the two backends that Django brings. Here both are ours: the one that only
collects as it is, the one that runs a task at once with a run of what is due behind each
`enqueue`. Needs Django 6 and its source, in which the tests are.
"""

from __future__ import annotations

import importlib
import json
import sys
import unittest
from typing import Any

from django.test import SimpleTestCase

from django_site import set_up
from pgqueue.django import PgQueueBackend, queue
from pgqueue.django.testing import forget_jobs
from pgqueue.django.worker import make_site_worker
from pgqueue.testing import run_pending

MODULES = ("test_tasks", "test_dummy_backend", "test_immediate_backend")


class Collecting(PgQueueBackend):
    """Ours, with what their tests ask of the backend that only collects."""

    @property
    def results(self) -> list[Any]:
        return [self.get_result(f"default:{job.id}") for job in queue("default").jobs()]

    def clear(self) -> None:
        forget_jobs()


class AtOnce(PgQueueBackend):
    """Ours, with a run of what is due behind each enqueue."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        result = super().enqueue(task, args, kwargs)
        run_pending(make_site_worker([task.queue_name]))
        return self.get_result(result.id)


def main(source: str) -> None:
    sys.path.insert(0, f"{source}/tests")
    set_up()
    backends: Any = importlib.import_module("django.tasks.backends")
    for name, ours in (("dummy.Dummy", Collecting), ("immediate.Immediate", AtOnce)):
        module, _, kind = name.partition(".")
        importlib.import_module(f"{backends.__name__}.{module}")
        setattr(getattr(backends, module), f"{kind}Backend", ours)
    # Theirs need no database.
    SimpleTestCase.databases = {"default"}
    names = [f"tasks.{name}" for name in MODULES]
    found = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromNames(names).run(found)
    failed = {
        # What follows names one of several cases in a test.
        test.id().partition(" ")[0]: text
        for test, text in found.errors + found.failures
    }
    sys.stdout.write(json.dumps({"ran": found.testsRun, "failed": failed}))


if __name__ == "__main__":
    main(sys.argv[1])
