"""The root command, and how a command ends: an exit code and at most one sentence."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from contextlib import suppress
from typing import Any, Final

import click
import psycopg

from pgqueue.cli.output import escape
from pgqueue.cli.params import Group
from pgqueue.errors import PgQueueError, SchemaError

# A new command is a module of this package with a click command called `command`.
COMMANDS: Final = (
    "demo",
    "worker",
    "migrate",
    "queue",
    "job",
    "schedule",
    "events",
    "health",
)

# click < 8.2 prints the help by itself.
NO_ARGUMENTS: Final = getattr(click.exceptions, "NoArgsIsHelpError", ())

MIGRATE: Final = "pgqueue migrate"

OK: Final = 0
DECLINED: Final = 1
BROKEN: Final = 1
BAD: Final = 2
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 1


class Root(Group):
    """Finds commands by the name of their module, and imports only the one asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the commands in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of a command."""
        if cmd_name not in COMMANDS:
            return None
        module: Any = importlib.import_module(f"pgqueue.cli.{cmd_name}")
        found: click.Command = module.command
        return found


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pgqueue-jobs", prog_name="pgqueue")
def root() -> None:
    """Background jobs on the PostgreSQL that you already have.

    The database is the one of --dsn, else of PGQUEUE_DSN, DATABASE_URL or the PG*
    variables. Every command but demo and worker takes --json.
    """


def run(
    arguments: list[str] | None = None,
    *,
    group: click.Command = root,
    name: str = "pgqueue",
    migrate: str = MIGRATE,
) -> int:
    """Run a command; errors become one sentence on stderr and a code.

    0 fine, 1 declined, 2 a mistake or a refusal, 130 Ctrl-C.

    Args:
        group: the root command, for a program that has one of its own.
        name: what the program is called.
        migrate: the command by which its schema is made.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = group.main(arguments, prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has enough. Nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except SystemExit:  # click's own answer to a closed pipe
        return PIPE_CLOSED
    except (KeyboardInterrupt, click.Abort) as error:
        return interrupted(error)
    except click.ClickException as error:
        return usage(error)
    except Exception as error:  # noqa: BLE001  the last place that could tell anyone
        return failed(error, migrate)
    return code if isinstance(code, int) else OK


def interrupted(error: BaseException) -> int:
    """End after Ctrl-C, or after a question was answered with no."""
    if isinstance(error, click.Abort) and not isinstance(
        error.__context__, KeyboardInterrupt
    ):
        complain("nothing was changed")
        return DECLINED
    return INTERRUPTED


def usage(error: click.ClickException) -> int:
    """End after a mistake on the command line."""
    if isinstance(error, NO_ARGUMENTS):
        print(error.format_message(), file=sys.stderr)
        return BAD
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"; see: {context.command_path} --help" if context else ""
    complain(error.format_message().rstrip(".") + hint)
    return BAD


def failed(error: Exception, migrate: str) -> int:
    """End after an error: an expected one says what to do, another what it is."""
    if os.environ.get("PGQUEUE_DEBUG") == "1":
        traceback.print_exception(error)
    if isinstance(error, PgQueueError):
        text = str(error)
        if isinstance(error, SchemaError):
            text = text.replace(f"run: {MIGRATE}", f"run: {migrate}")
        complain(text)
        return BAD
    cause: Any = getattr(error, "orig", None) or error  # what SQLAlchemy wraps
    if isinstance(cause, (psycopg.Error, OSError)):
        complain(f"{type(cause).__name__}: {cause}")
        return BAD
    complain(f"unexpected {type(error).__name__}: {error}; PGQUEUE_DEBUG=1 shows where")
    return BROKEN


def complain(text: str) -> None:
    """Write one line to stderr."""
    print(f"pgqueue: {escape(' '.join(text.split()))}", file=sys.stderr)
