"""The command line of pgqueue inside `manage.py`."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pgqueue.django.conf import core_settings
from pgqueue.errors import PgQueueError

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN_OPTIONS = ("--settings", "--pythonpath")
"""What `manage.py` reads itself, wherever it stands."""


def main(arguments: list[str]) -> int:
    """Run a command and return its exit code; no error leaves as a traceback."""
    from pgqueue import cli  # noqa: PLC0415

    try:
        from pgqueue.cli.app import run  # noqa: PLC0415  the extra may be missing
    except ModuleNotFoundError:
        return cli.main(arguments)
    from pgqueue.django.site_commands import root  # noqa: PLC0415

    try:
        settings = core_settings()
    except PgQueueError as error:
        print(f"pgqueue: {error}", file=sys.stderr)
        return 2
    rest = without(arguments)
    with environment(PGQUEUE_DSN=settings.dsn, PGQUEUE_SCHEMA=settings.schema):
        return run(
            rest, group=root, name="manage.py pgqueue", migrate="manage.py migrate"
        )


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Say where the database is to whatever runs meanwhile, and to its children."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def without(arguments: list[str], names: tuple[str, ...] = OWN_OPTIONS) -> list[str]:
    """Return the arguments that are not for `manage.py`."""
    rest: list[Any] = []
    pending = iter(arguments)
    for each in pending:
        if each in names:
            next(pending, None)
        elif not each.startswith(tuple(f"{name}=" for name in names)):
            rest.append(each)
    return rest
