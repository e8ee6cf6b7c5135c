"""JSON in and out: what can be stored, checked before any I/O; pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from pgqueue.errors import PayloadError, short

if TYPE_CHECKING:
    from pgqueue.types import JsonValue

MAX_BYTES: Final = 1024 * 1024
"""Default limit of one job's data and of one result: 1 MiB of JSON in UTF-8."""

# Both are legal in Python text and in JSON, and neither fits a PostgreSQL text.
UNSTORABLE: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u(?:0000|[dD][89a-fA-F])")


def encode(value: JsonValue, what: str, limit: int = MAX_BYTES) -> str:
    """Return *value* as JSON text that PostgreSQL can hold and Python reads back.

    Args:
        value: anything JSON can say.
        what: names the value in the error, e.g. `data of job 'paint'`.
        limit: the largest size in bytes.

    Raises:
        PayloadError: not JSON (sets, bytes, NaN, infinities, cycles, NUL characters,
            lone surrogates), nested too deeply, or larger than *limit*.
    """
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PayloadError(f"{what} is not JSON: {error}") from error
    except RecursionError as error:
        raise PayloadError(f"{what} is nested too deeply for JSON") from error
    # `ensure_ascii` made every such character an escape: one search finds them all.
    if "\\u" in text:
        if UNSTORABLE.search(text):
            reject_unstorable(value, what)
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    size = len(text) if text.isascii() else len(text.encode())
    if size > limit:
        raise PayloadError(
            f"{what} is {size} bytes of JSON, over the limit of {limit}; store it "
            "elsewhere and add a reference, or raise size_limit"
        )
    return text


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
