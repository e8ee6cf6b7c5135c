"""What an app's configuration says: `app.config["PGQUEUE_…"]`, before the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sqlalchemy import URL

from pgqueue.config import Settings, normal_dsn

if TYPE_CHECKING:
    from flask import Flask

PREFIX: Final = "PGQUEUE_"


def find_dsn(app: Flask) -> str | None:
    """Return the DSN of an app; None leaves it to the environment."""
    found = app.config.get("PGQUEUE_DSN") or app.config.get("SQLALCHEMY_DATABASE_URI")
    if isinstance(found, URL):
        found = found.render_as_string(hide_password=False)
    return None if found is None else normal_dsn(str(found))


def as_environment(app: Flask) -> dict[str, str]:
    """Return what the configuration says, as the environment would say it."""
    found = {
        name: str(value)
        for name, value in app.config.items()
        if name.startswith(PREFIX) and value is not None
    }
    if dsn := find_dsn(app):
        found[f"{PREFIX}DSN"] = dsn
    return found


def settings_of(app: Flask) -> Settings:
    """Return where an app's queues are, and how to behave there.

    Raises:
        ConfigError: the configuration has a value that a setting cannot take.
    """
    return Settings.load(find_dsn(app), {**os.environ, **as_environment(app)})
