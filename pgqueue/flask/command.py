"""`flask pgqueue …`: all commands of pgqueue, on the app's database."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from flask import current_app
from flask.cli import ScriptInfo, with_appcontext

from pgqueue import cli
from pgqueue.flask.config import as_environment
from pgqueue.flask.context import Origin

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    note_origin()
    if given[:1] == ["worker"] and not any(":" in each for each in given[1:]):
        given.insert(1, f"{serving()}:worker")
    with environment(as_environment(current_app)):
        code = cli.main(given)
    sys.exit(code)


def note_origin() -> None:
    """Keep how Flask found the app, so that a child process can find it too."""
    state = current_app.extensions.get("pgqueue")
    info = click.get_current_context().find_object(ScriptInfo)
    if state is not None and info is not None and info.create_app is None:
        state.origin = Origin(info.app_import_path)


def serving() -> str:
    """Return the module whose `worker` is that of the current app."""
    from pgqueue.flask import serving as module  # noqa: PLC0415  (it imports us)

    return module.__name__


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
