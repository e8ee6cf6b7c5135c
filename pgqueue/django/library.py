"""Django's tasks: its own from Django 6.0 on, else the package `django-tasks`."""

from __future__ import annotations

import importlib
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from pgqueue import payload


class NoTasksFramework(ImproperlyConfigured, ImportError):
    """Django is older than its tasks, and the package for them is not installed."""


def find() -> str:
    """Return the name of the package that has the tasks framework.

    Raises:
        NoTasksFramework: there is none.
    """
    for name in ("django.tasks", "django_tasks"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
        else:
            return name
    raise NoTasksFramework(
        "PgQueueBackend needs Django 6.0 or newer, or: pip install django-tasks"
    )


PACKAGE = find()
tasks: Any = importlib.import_module(PACKAGE)
base: Any = importlib.import_module(f"{PACKAGE}.base")
backends: Any = importlib.import_module(f"{PACKAGE}.backends.base")
exceptions: Any = importlib.import_module(f"{PACKAGE}.exceptions")
signals: Any = importlib.import_module(f"{PACKAGE}.signals")

if PACKAGE == "django.tasks":
    normalize_json: Any = importlib.import_module("django.utils.json").normalize_json
    InvalidTask: Any = exceptions.InvalidTask
    TaskResultDoesNotExist: Any = exceptions.TaskResultDoesNotExist
else:
    normalize_json = importlib.import_module("django_tasks.utils").normalize_json
    # Its releases do not agree on the suffix.
    InvalidTask = getattr(
        exceptions, "InvalidTask", getattr(exceptions, "InvalidTaskError", None)
    )
    TaskResultDoesNotExist = getattr(
        exceptions,
        "TaskResultDoesNotExist",
        getattr(exceptions, "ResultDoesNotExist", None),
    )


def to_json(value: Any, path: str) -> Any:
    """Return a value as the framework makes JSON of it.

    Raises:
        TypeError: it cannot; says where, and what to give instead.
    """
    try:
        return normalize_json(value)
    except TypeError as error:
        found = payload.culprit(value, path)
        raise TypeError(f"{error}; {found}" if found else str(error)) from error
