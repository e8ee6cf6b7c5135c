"""The language of `search`: `data.user_id:42 state:failed name:welcome tag:x`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pgqueue.errors import ConfigError

STATES: Final = (
    *("waiting", "prioritized", "delayed", "active", "waiting_children"),
    *("completed", "failed"),
)
LONGEST: Final = 10_000

# Each part is followed by what it cannot hold, so reading is linear in the text.
TERM: Final = re.compile(
    r'\s*([a-z]+(?:\.[^\s:"]+)?):(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|$)', re.DOTALL
)
ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Query:
    """What a job must satisfy, all of it.

    Attributes:
        data: paths into the data as PostgreSQL's arrays, each with the text there.
    """

    name: str | None = None
    state: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    data: tuple[tuple[str, str | None], ...] = ()


def parse(text: object) -> Query:
    """Read a query.

    Raises:
        ConfigError: it cannot be read; the message says where.
    """
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
        raise bad(text)
    if "\0" in text:
        raise bad(text)
    single: dict[str, str] = {}
    tags: list[str] = []
    data: list[tuple[str, str | None]] = []
    position, text = 0, text.rstrip()
    while position < len(text):
        term = TERM.match(text, position)
        if term is None:
            raise bad(text[position:].strip())
        field, quoted, plain = term.groups()
        value = plain if quoted is None else ESCAPE.sub(r"\1", quoted)
        if field.startswith("data."):
            data.append((path(field), None if plain == "null" else value))
        elif field == "tag":
            tags.append(value)
        elif field in ("name", "state", "group") and field not in single:
            single[field] = value
        else:
            raise bad(text[position:].strip())
        position = term.end()
    state = single.get("state")
    if state is not None and state not in STATES:
        raise ConfigError.bad("state", state, f"one of {', '.join(STATES)}")
    return Query(
        single.get("name"), state, single.get("group"), tuple(tags), tuple(data)
    )


def path(field: str) -> str:
    """Return `data.a.0` as the array `{"a","0"}`.

    Raises:
        ConfigError: a part of it is empty.
    """
    parts = field.split(".")[1:]
    if not all(parts):
        raise bad(field)
    escaped = [part.replace("\\", "\\\\").replace('"', '\\"') for part in parts]
    return "{" + ",".join(f'"{part}"' for part in escaped) + "}"


def bad(text: object) -> ConfigError:
    """Return the error for what cannot be read."""
    return ConfigError.bad(
        "query",
        text,
        'terms like data.user.id:42 state:failed name:"two words" tag:x',
    )
