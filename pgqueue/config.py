"""Settings: arguments first, then the environment, then defaults."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pgqueue.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,47}")
SQLALCHEMY_URL: Final = re.compile(r"^(postgres(?:ql)?)\+\w+://")
DURATION_TEXT: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the database is and how to behave; `Settings.load` reads the environment.

    Attributes:
        dsn: a libpq connection string; empty means libpq's own `PG*` variables.
        schema: the schema that holds pgqueue's tables.
        app: what connections are called in `pg_stat_activity`.
        listen: whether workers use LISTEN; without it they poll.
    """

    dsn: str
    schema: str = "pgqueue"
    app: str = "pgqueue"
    listen: bool = True

    @classmethod
    def load(
        cls, dsn: str | None = None, environ: Mapping[str, str] | None = None
    ) -> Settings:
        """Resolve the settings of this process.

        Args:
            dsn: wins over `PGQUEUE_DSN`, then `DATABASE_URL`, then libpq's `PG*`.
            environ: the environment, `os.environ` by default.

        Raises:
            ConfigError: a setting has a value it cannot take.
        """
        env = os.environ if environ is None else environ
        found = dsn or env.get("PGQUEUE_DSN") or env.get("DATABASE_URL") or ""
        listen = env.get("PGQUEUE_LISTEN", "auto")
        if listen not in ("auto", "off"):
            raise ConfigError.bad("PGQUEUE_LISTEN", listen, "auto or off")
        return cls(
            dsn=normal_dsn(check_text(found)),
            schema=check_schema(env.get("PGQUEUE_SCHEMA", "pgqueue")),
            app=env.get("PGQUEUE_APP", "pgqueue"),
            listen=listen == "auto",
        )


def check_text(dsn: object) -> str:
    """Return a DSN if it is text; what is none is not shown, it may hold a password."""
    if not isinstance(dsn, str):
        kind = type(dsn).__name__
        raise ConfigError(f"dsn= takes text or None; it got an object of {kind}")
    return dsn


def normal_dsn(dsn: str) -> str:
    """Return a DSN as libpq takes it; SQLAlchemy's `+driver` is dropped."""
    return SQLALCHEMY_URL.sub(r"\1://", dsn.strip())


def check_schema(name: str, option: str = "PGQUEUE_SCHEMA") -> str:
    """Return a schema name that needs no quoting anywhere."""
    if not SCHEMA_NAME.fullmatch(name):
        raise ConfigError.bad(
            option, name, "lower-case letters, digits and _, at most 48"
        )
    return name


def parse_duration(option: str, text: str) -> float:
    """Return the seconds that `90`, `500ms`, `5s`, `2h` or `7d` say.

    Raises:
        ConfigError: the text says no duration.
    """
    match = DURATION_TEXT.fullmatch(text.strip())
    if match is None:
        raise ConfigError.bad(option, text, "a duration such as 90, 500ms, 5s, 2h, 7d")
    return float(match[1]) * UNITS[match[2] or "s"]
