"""`manage.py check`: is the configured database one that pgqueue can live in?"""

from __future__ import annotations

from typing import Any, Final

from django.core.checks import CheckMessage, Error
from django.core.checks.registry import registry
from django.db import connections

from pgqueue.django.conf import site
from pgqueue.errors import ConfigError

THEIRS: Final = ("django.tasks.checks", "django_tasks.checks")


def check_site(**_: Any) -> list[Error]:
    """Return what is wrong with PGQUEUE and the database it names; asks no server."""
    try:
        alias = site().database
    except ConfigError as error:
        return [Error(str(error), id="pgqueue.E005")]
    if alias not in connections.settings:
        known = ", ".join(connections.settings)
        return [
            Error(
                f"PGQUEUE['DATABASE'] is {alias!r}, which is not in DATABASES.",
                hint=f"Name one of: {known}.",
                id="pgqueue.E001",
            )
        ]
    if connections[alias].vendor != "postgresql":
        return [
            Error(
                f"The database {alias!r} is not PostgreSQL.",
                hint="Let PGQUEUE['DATABASE'] name the alias of one that is.",
                id="pgqueue.E002",
            )
        ]
    return []


def check_tasks(**_: Any) -> list[CheckMessage]:
    """Return what is wrong with the entries of TASKS that are ours.

    The framework of tasks has such a check of its own, which not every release runs.
    """
    known = registry.get_checks()
    if any(one.__module__ in THEIRS for one in known):
        return []
    try:
        from pgqueue.django import library, tasks  # noqa: PLC0415  optional
    except ImportError:
        return []
    handler = library.tasks.task_backends
    found = [handler[alias] for alias in handler.settings]
    ours = [one for one in found if isinstance(one, tasks.PgQueueBackend)]
    return [message for one in ours for message in one.check()]
