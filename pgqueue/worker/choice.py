"""Which executor runs the handlers of one worker."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, cast

from pgqueue.worker.batch import alone
from pgqueue.worker.batches import BatchExecutor
from pgqueue.worker.executor import AsyncExecutor, ThreadExecutor
from pgqueue.worker.handlers import Handlers, is_async
from pgqueue.worker.isolating import IsolatingExecutor
from pgqueue.worker.processes import ProcessExecutor, can_be_sent
from pgqueue.worker.reporter import AsyncReporter, ThreadReporter
from pgqueue.worker.sorting import SortingExecutor

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgqueue.worker.batch import BatchHandler
    from pgqueue.worker.committer import Terms
    from pgqueue.worker.executor import Settle
    from pgqueue.worker.settling import Settling
    from pgqueue.worker.worker import Worker

AnyExecutor = (
    AsyncExecutor
    | ThreadExecutor
    | SortingExecutor
    | ProcessExecutor
    | IsolatingExecutor
    | BatchExecutor
)


class Choice:
    """Makes executors by the kinds of handlers, and by how they are to be isolated."""

    def __init__(
        self, worker: Worker, terms: Terms, settling: Settling, reporter: AsyncReporter
    ) -> None:
        self._worker = worker
        self._terms = terms
        self._settling = settling
        self._reporter = reporter
        self._from_threads = ThreadReporter(reporter, asyncio.get_running_loop())

    def executor(self, batches: BatchExecutor | None) -> AnyExecutor:
        """Return what runs all jobs; those of batches, if there are any, beside others."""
        handlers = self._worker.handlers
        usual: AsyncExecutor | ThreadExecutor | SortingExecutor | BatchExecutor
        if batches is not None:
            handlers, usual = Handlers(alone(batches.handler)), batches
        elif self._worker.isolation == "process":
            return self._in_processes(handlers, self._settling.settle)
        else:
            usual = self._in_process()
        if not can_be_sent(handlers):
            return usual
        make = partial(self._in_processes, handlers)
        return IsolatingExecutor(usual, make, self._settling.settle)

    def batches(self, ended: Callable[[], None]) -> BatchExecutor:
        """Return what runs batches; *ended* is called when one more may start."""
        handler = self._worker.handlers.default
        assert handler is not None, "the worker saw to it"  # noqa: S101
        return BatchExecutor(
            cast("BatchHandler", handler),
            self._settling.settle,
            self._reporter if is_async(handler) else self._from_threads,
            ended=ended,
        )

    def _in_process(self) -> AsyncExecutor | ThreadExecutor | SortingExecutor:
        handlers, settle = self._worker.handlers, self._settling.settle
        kinds = handlers.kinds()
        on_loop = AsyncExecutor(handlers.one(asynchronous=True), settle, self._reporter)
        in_threads = ThreadExecutor(
            handlers.one(asynchronous=False),
            settle,
            self._from_threads,
            self._worker.concurrency,
        )
        if len(kinds) > 1:
            return SortingExecutor(handlers, on_loop, in_threads)
        return on_loop if kinds == {True} else in_threads

    def _in_processes(self, handlers: Handlers, settle: Settle) -> ProcessExecutor:
        return ProcessExecutor(
            handlers,
            settle,
            terms=self._terms,
            emitter=self._worker.emitter,
            committed=self._settling.committed,
        )
