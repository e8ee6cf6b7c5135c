"""`flask pgqueue …`: all commands of pgqueue, on the app's database."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click
from flask import current_app
from flask.cli import with_appcontext

from pgqueue import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX: Final = "PGQUEUE_"


@click.command(
    "pgqueue",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@with_appcontext
def command(arguments: tuple[str, ...]) -> None:
    """Run a command of pgqueue on the app's database; `worker` runs its handlers."""
    given = list(arguments)
    if given[:1] == ["worker"] and not any(":" in each for each in given[1:]):
        given.insert(1, f"{serving()}:worker")
    with environment(from_config()):
        code = cli.main(given)
    sys.exit(code)


def serving() -> str:
    """Return the module whose `worker` is that of the current app."""
    from pgqueue.flask import serving as module  # noqa: PLC0415  (it imports us)

    return module.__name__


def from_config() -> dict[str, str]:
    """Return what the app's configuration says, as the environment would say it."""
    from pgqueue.flask.extension import find_dsn  # noqa: PLC0415  (it imports us)

    config: dict[str, Any] = current_app.config
    found = {
        name: str(value)
        for name, value in config.items()
        if name.startswith(PREFIX) and value is not None
    }
    if dsn := find_dsn(current_app):
        found[f"{PREFIX}DSN"] = dsn
    return found


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Say it to whatever runs meanwhile, and to its children."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
