"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from pgqueue.config import parse_duration
from pgqueue.errors import ConfigError
from pgqueue.options import NUMERIC

if TYPE_CHECKING:
    from collections.abc import Callable

    AnyParam = click.ParamType[Any]
else:
    AnyParam = click.ParamType  # not generic before click 8.4


def set_dsn(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    """Keep the DSN for whichever command runs; the innermost one given wins."""
    if value is None:
        return
    if not value.strip():
        # Of a variable that is not set; another database would be the wrong one.
        fail("--dsn is empty; leave it out to take the DSN of the environment", ctx)
    ctx.find_root().obj = value


def dsn_option() -> click.Option:
    """Return the option --dsn, which goes before a command or after it."""
    return click.Option(
        ["--dsn"],
        metavar="DSN",
        expose_value=False,
        callback=set_dsn,
        help="Where PostgreSQL is.",
    )


class Command(click.Command):
    """A command that takes --dsn."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(dsn_option())


class Group(click.Group):
    """A group that takes --dsn, as all its commands do."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(dsn_option())

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the commands in the order in which they are defined."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or name those that there are."""
        if args and self.get_command(ctx, args[0]) is None:
            known = ", ".join(self.list_commands(ctx))
            ctx.fail(f"there is no command {args[0]!r}; there are: {known}")
        return super().resolve_command(ctx, args)


def given_dsn() -> str | None:
    """Return what --dsn said; None leaves it to the environment."""
    found: str | None = click.get_current_context().find_root().obj
    return found


class Duration(AnyParam):
    """`90`, `500ms`, `5s`, `2h` or `7d`, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> float:
        """Return seconds."""
        if isinstance(value, float):
            return value
        try:
            return parse_duration(param.opts[0] if param else "duration", str(value))
        except ConfigError as error:
            fail(str(error), ctx)


class Backoff(Duration):
    """A duration, or the name of a strategy of the worker."""

    name = "backoff"

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> Any:
        """Return seconds or a name."""
        if str(value)[:1] in NUMERIC:
            return super().convert(value, param, ctx)
        return value


class Header(AnyParam):
    """`name=value`."""

    name = "name=value"

    def convert(
        self, value: Any, _param: Any, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return the name and the value."""
        name, equals, text = str(value).partition("=")
        if not equals:
            fail(f"{value!r} is no header such as trace=00-4bf9", ctx)
        return name, text


class Instant(AnyParam):
    """An instant in ISO 8601, with its zone."""

    name = "instant"

    def convert(self, value: Any, _param: Any, ctx: click.Context | None) -> datetime:
        """Return an aware `datetime`."""
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            fail(f"{value!r} is no instant such as 2030-01-31T09:30:00Z", ctx)
        if found.utcoffset() is None:
            fail(f"{value!r} has no zone; add Z or an offset such as +02:00", ctx)
        return found


class Data(AnyParam):
    """JSON text, or `-` for stdin."""

    name = "json"

    def convert(self, value: Any, _param: Any, ctx: click.Context | None) -> Any:
        """Return what the JSON says."""
        try:
            return json.loads(sys.stdin.read() if value == "-" else value)
        except RecursionError:
            fail("the data is nested too deeply", ctx)
        except ValueError as error:
            fail(
                f"the data is not JSON: {error}; a text is quoted twice: '\"blue\"'",
                ctx,
            )


def fail(message: str, ctx: click.Context | None) -> NoReturn:
    raise click.UsageError(message, ctx)


DURATION: Final = Duration()
BACKOFF: Final = Backoff()
HEADER: Final = Header()
INSTANT: Final = Instant()
DATA: Final = Data()


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --json to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def yes_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --yes to a command that removes something."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(function)
