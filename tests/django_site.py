"""A Django site for tests, on whatever database a test has."""

from __future__ import annotations

import os
import unittest
from typing import Any

from psycopg.conninfo import conninfo_to_dict

APPS = (
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "pgqueue.django",
    "django_app",
)
MIDDLEWARE = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
)
CONTEXT = (
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
)
TEMPLATES = {
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {"context_processors": CONTEXT},
}
TASKS = {
    "default": {
        "BACKEND": "pgqueue.django.PgQueueBackend",
        "QUEUES": ["default", "mail"],
        "OPTIONS": {"keep_logs": 100},
    }
}


def database_of(dsn: str) -> dict[str, Any]:
    """Return an entry of DATABASES for a DSN."""
    found = conninfo_to_dict(dsn)
    return {
        "ENGINE": "django.db.backends.postgresql",
        # Other tests of this process ask where the site is before it has a database.
        "NAME": found.get("dbname", "nowhere"),
        "USER": found.get("user", ""),
        "PASSWORD": found.get("password", ""),
        "HOST": found.get("host", ""),
        "PORT": str(found.get("port", "")),
    }


def set_up(dsn: str = "") -> None:
    """Configure Django, once in a process, and let it use a database."""
    from django.conf import settings  # noqa: PLC0415
    from django.db import connections  # noqa: PLC0415

    import django  # noqa: PLC0415

    if not settings.configured:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_settings")
        settings._setup()
    django.setup()
    if dsn:
        connections.close_all()
        connections.settings["default"].update(database_of(dsn))


def run_case(case: type[unittest.TestCase]) -> int:
    """Run a case as Django's runner does; return how many tests passed."""
    found = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    result = unittest.TestResult()
    found.run(result)
    assert not result.errors, result.errors[0][1]
    assert not result.failures, result.failures[0][1]
    return result.testsRun
