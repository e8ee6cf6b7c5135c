"""The setting PGQUEUE, and where Django's database is in libpq's words."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

from django.conf import settings as django_settings
from django.core.signals import setting_changed
from django.db import connections
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo

from pgqueue.config import Settings, check_schema
from pgqueue.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSettings:
    """What `PGQUEUE = {...}` may say, in upper case there.

    Attributes:
        database: the alias in DATABASES that holds pgqueue's schema.
        schema: the name of that schema; `PGQUEUE_SCHEMA` of the environment by default.
        autodiscover: the module looked for in every app; None looks for none.
    """

    database: str = "default"
    schema: str = "pgqueue"
    autodiscover: str | None = "jobs"


@cache
def site() -> SiteSettings:
    """Read the setting PGQUEUE.

    Raises:
        ConfigError: it has a key that means nothing, or a value of the wrong type.
    """
    given = getattr(django_settings, "PGQUEUE", {})
    if not isinstance(given, dict):
        raise ConfigError.bad("PGQUEUE", given, "a dict")
    known = {each.name.upper(): each.name for each in fields(SiteSettings)}
    for key, value in given.items():
        if key not in known:
            raise ConfigError.bad("PGQUEUE", key, f"one of the keys {', '.join(known)}")
        if not isinstance(value, str) and not (key == "AUTODISCOVER" and value is None):
            raise ConfigError.bad(f"PGQUEUE[{key!r}]", value, "a text")
    named = {known[key]: value for key, value in given.items()}
    if "SCHEMA" in given:
        schema = check_schema(given["SCHEMA"], "PGQUEUE['SCHEMA']")
    else:
        schema = Settings.load().schema
    return SiteSettings(**{**named, "schema": schema})


def at_start() -> SiteSettings:
    """Return the same while Django starts; if it is wrong, defaults that find no jobs.

    `manage.py check` then says what is wrong, and whatever needs the setting raises.
    """
    try:
        return site()
    except ConfigError:
        return SiteSettings(autodiscover=None)


def forget(*, setting: str, **_: Any) -> None:
    """Read PGQUEUE anew once a test has overridden it."""
    if setting == "PGQUEUE":
        site.cache_clear()


setting_changed.connect(forget)


def dsn(database: str | None = None) -> str:
    """Return the DSN of a database of Django, the configured one by default.

    It has the password in it. In a test it names the test database.

    Raises:
        ConfigError: that database is not PostgreSQL.
    """
    wrapper = connections[database or site().database]
    if wrapper.vendor != "postgresql":
        raise ConfigError.bad("database", wrapper.alias, "an alias of PostgreSQL")
    params = wrapper.get_connection_params()
    ours = {one.keyword.decode() for one in Conninfo.get_defaults()}
    return make_conninfo(**{key: params[key] for key in ours & params.keys()})


def core_settings(database: str | None = None) -> Settings:
    """Return what pgqueue's own connections to Django's database are made with."""
    return replace(Settings.load(dsn(database)), schema=site().schema)
