"""JSON in and out: what can be stored, checked before any I/O; pure."""

from __future__ import annotations

import json
import re
from datetime import date, time, timedelta
from decimal import Decimal
from math import isfinite
from pathlib import PurePath
from types import NoneType
from typing import TYPE_CHECKING, Final
from uuid import UUID

from pgqueue.errors import PayloadError, short

if TYPE_CHECKING:
    from pgqueue.types import JsonValue

MAX_BYTES: Final = 1024 * 1024
"""Default limit of one job's data and of one result: 1 MiB of JSON in UTF-8."""

MAX_DEPTH: Final = 256
"""How deep arrays and objects may be nested; a reader's own stack needs room too."""

DECODER: Final = json.JSONDecoder()

# Both are legal in Python text and in JSON, and neither fits a PostgreSQL text.
UNSTORABLE: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u(?:0000|[dD][89a-fA-F])")
TEXT: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
REST: Final = bytes(set(range(256)) - set(b"[]{}"))


def encode(value: JsonValue, what: str, limit: int = MAX_BYTES) -> str:
    """Return *value* as JSON text that PostgreSQL can hold and Python reads back.

    What JSON does not have becomes what `json.dumps` makes of it: tuples are read back
    as lists, numbers that are keys of a dict as text.

    Args:
        value: anything JSON can say.
        what: names the value in the error, e.g. `data of job 'paint'`.
        limit: the largest size in bytes.

    Raises:
        PayloadError: not JSON (sets, bytes, NaN, infinities, cycles, NUL characters,
            lone surrogates), nested too deeply, or larger than *limit*.
    """
    reject_huge(value, what, limit)
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        found = culprit(value, what.partition(" ")[0])
        raise PayloadError(f"{what} is not JSON: {found or error}") from error
    except RecursionError as error:
        raise too_deep(what) from error
    if text.count("[") + text.count("{") > MAX_DEPTH and is_too_deep(text):
        raise too_deep(what)
    # `ensure_ascii` made every such character an escape: one search finds them all.
    if "\\u" in text:
        if UNSTORABLE.search(text):
            reject_unstorable(value, what)
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    size = len(text) if text.isascii() else len(text.encode())
    if size > limit:
        raise too_large(what, str(size), limit)
    return text


def reject_huge(value: JsonValue, what: str, limit: int) -> None:
    """Raise at a glance where encoding a hundred megabytes would take a second.

    Each character, item and pair takes a byte at least.
    """
    if isinstance(value, (str, list, tuple, dict)):
        longest = len(value)
        items = value.values() if isinstance(value, dict) else ()
        for item in items:
            if isinstance(item, (str, list, tuple, dict)) and len(item) > longest:
                longest = len(item)
        if longest > limit:
            raise too_large(what, f"more than {longest}", limit)


def culprit(value: object, path: str) -> str:
    """Say where the first value is that JSON does not have, and what to give instead.

    Empty for what cannot be named so, such as a circle or a number of too many digits.
    """
    pending: list[tuple[object, str, int]] = [(value, path, 0)]
    while pending:
        value, path, depth = pending.pop()
        if depth > MAX_DEPTH:
            return ""
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, (str, int, float, NoneType)):
                    kind = type(key).__name__
                    return f"a key of {path} is {with_article(kind)}; give a text"
            items = [(item, f"{path}.{key}") for key, item in value.items()]
        elif isinstance(value, (list, tuple)):
            items = [(item, f"{path}[{index}]") for index, item in enumerate(value)]
        elif isinstance(value, float) and not isfinite(value):
            return f"{path} is {value}; give None, or a text"
        elif isinstance(value, (str, int, float, NoneType)):
            continue
        else:
            kind = type(value).__name__
            return f"{path} is {with_article(kind)}; give {instead_of(value)}"
        pending += [(item, place, depth + 1) for item, place in reversed(items)]
    return ""


def with_article(kind: str) -> str:
    """Return "an Order", "a UUID": U is mostly said as in "user"."""
    return f"an {kind}" if kind[:1].lower() in "aeio" else f"a {kind}"


def instead_of(value: object) -> str:
    """Return what to give instead of a value that JSON does not have."""
    if isinstance(value, (set, frozenset)):
        return "a list"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "a text, such as base64"
    if isinstance(value, (date, time)):
        return "value.isoformat()"
    if isinstance(value, timedelta):
        return "value.total_seconds()"
    if isinstance(value, (UUID, Decimal, PurePath)):
        return "str(value)"
    return "a dict of what is needed of it, or its id"


def is_too_deep(text: str) -> bool:
    """Whether JSON is nested deeper than the limit; takes a level off at a time."""
    rest = TEXT.sub("", text).encode().translate(BRACKETS, REST)
    for _ in range(MAX_DEPTH):
        rest = rest.replace(b"[]", b"")
    return bool(rest)


def too_deep(what: str) -> PayloadError:
    """Return the error for data that is nested too deeply."""
    return PayloadError(f"{what} is nested too deeply: {MAX_DEPTH} levels are allowed")


def too_large(what: str, size: str, limit: int) -> PayloadError:
    """Return the error for data over the limit."""
    return PayloadError(
        f"{what} is {size} bytes of JSON, over the limit of {limit}; store it "
        "elsewhere and add a reference, or raise size_limit"
    )


def reject_unstorable(value: JsonValue, what: str) -> None:
    """Raise for the first text with a NUL or a lone surrogate, naming its place."""
    for path, text in texts(value, "$"):
        if "\x00" in text:
            raise PayloadError(f"{what} has a NUL character at {path}: {short(text)}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise PayloadError(
                f"{what} has a lone surrogate at {path}: {short(text)}"
            ) from error


def texts(value: JsonValue, path: str) -> list[tuple[str, str]]:
    """Return every text of a JSON value, keys included, each with its place."""
    if isinstance(value, str):
        return [(path, value)]
    found: list[tuple[str, str]] = []
    if isinstance(value, dict):
        for key, item in value.items():
            found.append((f"key of {path}", str(key)))
            found += texts(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            found += texts(item, f"{path}[{index}]")
    return found


def decode(text: str | None) -> JsonValue:
    """Return what JSON text says; None for no text.

    Raises:
        PayloadError: the text was not written by pgqueue and Python cannot read it.
    """
    if text is None:
        return None
    try:
        # On the way of every job: `loads` would look for white space around it first.
        value: JsonValue
        value, end = DECODER.raw_decode(text)
        if end == len(text):
            return value
    except (ValueError, RecursionError):
        pass  # or it has some, or is said better below
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"stored JSON cannot be read: {error}") from error


def clean_text(text: str, limit: int) -> str:
    """Return text that PostgreSQL can hold: bounded, no NUL, no lone surrogate."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return (
        text.encode("utf-8", "replace").decode().replace("\x00", "\N{SYMBOL FOR NULL}")
    )
