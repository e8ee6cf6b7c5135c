"""Found by the app: functions for the jobs of two queues."""

from __future__ import annotations

import logging
import os
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection

from django_app.models import Note
from pgqueue import current_job
from pgqueue.django import AsyncQueue, Queue

notes = Queue("notes")
more = AsyncQueue("more")


@notes.job(attempts=2)
def write(text: str) -> int:
    return int(Note.objects.create(text=text).pk)


@notes.job()
def backend_pid() -> int:
    """Tell which session of the server this handler has, open afterwards."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


@notes.job()
def log_as_django() -> None:
    logging.getLogger("django.shop").info("an order was placed")


@notes.job()
def add_another(text: str) -> int:
    return int(write.add(text).id)


@notes.handler("raw")
def raw(job: Any) -> Any:
    return {"queue": job.queue, "data": job.data}


@notes.job()
def die_once() -> str:
    if not current_job().stalled:
        os._exit(9)
    return f"{Note.objects.count()} notes, in a process of its own"


@more.job()
async def write_later(text: str) -> int:
    note = await sync_to_async(Note.objects.create)(text=text)
    return int(note.pk)


@more.handler("raw")
def raw_more(job: Any) -> Any:
    return {"more": job.data}
