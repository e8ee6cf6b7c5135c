"""pgqueue in Django: `INSTALLED_APPS += ["pgqueue.django"]`.

Queues made here run on Django's own connection of the configured database, so a job
that is added in `transaction.atomic()` exists exactly if that block commits. Names are
imported when they are asked for: an app is imported before Django is ready.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pgqueue.django.conf import dsn
    from pgqueue.django.queues import (
        AsyncFlowProducer,
        AsyncQueue,
        FlowProducer,
        Queue,
        queue,
    )
    from pgqueue.django.tasks import PgQueueBackend
    from pgqueue.django.worker import Worker

HOMES: Final = {
    "AsyncFlowProducer": "queues",
    "AsyncQueue": "queues",
    "FlowProducer": "queues",
    "PgQueueBackend": "tasks",
    "Queue": "queues",
    "Worker": "worker",
    "dsn": "conf",
    "queue": "queues",
}

__all__ = [
    "AsyncFlowProducer",
    "AsyncQueue",
    "FlowProducer",
    "PgQueueBackend",
    "Queue",
    "Worker",
    "dsn",
    "queue",
]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{HOMES[name]}"), name)
