"""Data that JSON and PostgreSQL can hold goes in and comes back; the rest is refused."""

from __future__ import annotations

import gc
import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgqueue import AsyncQueue, NewJob, PayloadError, Queue
from pgqueue.payload import MAX_DEPTH, clean_text, decode, encode
from unit.calling import each_queue, outcome
from unit.test_options import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1024 * 1024


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


BAD = {
    "NaN": (float("nan"), "is not JSON"),
    "NaN inside": ({"a": [1, float("nan")]}, r"JSON: data\.a\[1\] is nan; give None"),
    "NaN as a key": ({float("nan"): 1}, "is not JSON"),
    "Infinity": (float("inf"), "is not JSON"),
    "-Infinity": ([float("-inf")], "is not JSON"),
    "a set": ({1, 2}, "JSON: data is a set; give a list"),
    "bytes": (b"raw", "data is a bytes; give a text, such as base64"),
    "bytes as a key": ({"a": {b"raw": 1}}, r"a key of data\.a is a bytes; give a text"),
    "an object": (object(), "data is an object; give a dict"),
    "a UUID": (
        {"order": {"id": UUID(int=1)}},
        r"JSON: data\.order\.id is a UUID; give str\(value\)",
    ),
    "a Decimal": ([Decimal(1)], r"data\[0\] is a Decimal; give str\(value\)"),
    "a datetime": (
        {"at": ("x", datetime(2026, 1, 1, tzinfo=UTC))},
        r"data\.at\[1\] is a datetime; give value\.isoformat\(\)",
    ),
    "a timedelta": (timedelta(1), r"give value\.total_seconds\(\)"),
    "circular": (circular(), "Circular"),
    "a tuple as a key": ({(1, 2): 3}, "a key of data is a tuple"),
    "NUL": ("a\x00b", r"NUL character at \$: 'a"),
    "NUL inside": ({"a": [{"b": "\x00"}]}, r"NUL character at \$\.a\[0\]\.b"),
    "NUL in a key": ({"a": {"\x00k": 1}}, r"NUL character at key of \$\.a"),
    "a lone surrogate": ("\ud800", r"lone surrogate at \$"),
    "a low surrogate alone": (["😀", "x\udc00"], r"lone surrogate at \$\[1\]"),
    "a surrogate in a key": ({"\udbff": 1}, r"lone surrogate at key of \$"),
    "surrogates in the wrong order": ("\udc00\ud800", "lone surrogate"),
    "more than 4300 digits": (10**4300, "is not JSON"),
    "too deep": (nested(MAX_DEPTH + 1), "nested too deeply"),
    "much too deep": (nested(100_000), "nested too deeply"),
    "too large": ("x" * MIB, f"{MIB + 2} bytes of JSON, over the limit of {MIB}"),
}


@each_queue
@pytest.mark.parametrize("case", BAD)
def test_data_that_cannot_be_stored_is_refused_before_any_connection(
    kind: type[Queue | AsyncQueue], case: str
) -> None:
    value, reason = BAD[case]
    queue = kind("paint", dsn=NOWHERE)
    with pytest.raises(PayloadError, match=f"data of job 'n'.*{reason}"):
        outcome(queue.add("n", value))
    with pytest.raises(PayloadError, match=f"data of job 'n'.*{reason}"):
        outcome(queue.add_bulk([NewJob("m"), NewJob("n", value)]))


# Made by the test itself: here they would stay in memory for the whole run.
@pytest.mark.parametrize(
    "make",
    [
        lambda: "x" * 100 * MIB,
        lambda: {"deep": "x" * 100 * MIB},
        lambda: [0] * 50 * MIB,
        lambda: {"list": ["x"] * 50 * MIB},
    ],
    ids=["text", "text inside", "list", "list inside"],
)
def test_a_hundred_megabytes_are_refused_at_a_glance(make: Callable[[], Any]) -> None:
    value = make()
    gc.collect()  # or the collector walks through the new list meanwhile
    began = time.thread_time()
    with pytest.raises(PayloadError, match=r"more than .* reference, or raise size_l"):
        encode(value, "data")
    assert time.thread_time() - began < 0.2


def test_the_size_is_counted_in_bytes_of_utf_8() -> None:
    assert encode("é" * 9, "data", 20)
    with pytest.raises(PayloadError, match="22 bytes"):
        encode("é" * 10, "data", 20)


def test_the_deepest_data_allowed_comes_back() -> None:
    value = nested(MAX_DEPTH)
    assert decode(encode(value, "data")) == value


def test_many_brackets_that_are_not_deep_are_fine() -> None:
    value = {"rows": [[{"[": "]["}, '{"\\'] for _ in range(1000)], "x": "[" * 1000}
    assert decode(encode(value, "data")) == value


def test_escapes_that_only_look_like_nul_are_text() -> None:
    for value in ("\\u0000", "\\\\u0000", "\\ud800", "é\\u0000", ["\\", "u0000"]):
        assert decode(encode(value, "data")) == value


def test_what_json_does_not_have_becomes_what_json_dumps_makes_of_it() -> None:
    """Tuples come back as lists, numbers and constants as keys as text."""

    class Color(StrEnum):
        BLUE = "blue"

    class Size(IntEnum):
        BIG = 3

    given = {7: (Color.BLUE, Size.BIG), None: 1, True: 2, 1.5: 3}
    assert decode(encode(given, "data")) == {
        "7": ["blue", 3],
        "null": 1,
        "true": 2,
        "1.5": 3,
    }


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5)
    ),
    max_leaves=20,
)


def holds(value: Any) -> bool:
    try:
        "".join(texts(value)).encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in "".join(texts(value))


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(t for item in value.values() for t in texts(item))]
    if isinstance(value, list):
        return [t for item in value for t in texts(item)]
    return [value] if isinstance(value, str) else []


@given(values)
def test_whatever_json_can_say_comes_back_and_the_rest_is_refused(value: Any) -> None:
    if not holds(value):
        with pytest.raises(PayloadError, match=r"NUL|surrogate"):
            encode(value, "data")
        return
    text = encode(value, "data")
    text.encode()
    assert "\x00" not in json.dumps(decode(text))
    assert same(decode(text), value)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, types and signs of zero included."""
    return repr(one) == repr(other)


@pytest.mark.parametrize("text", ["nonsense", "[1,", "1" * 5000, "[" * 100_000])
def test_stored_text_that_cannot_be_read_is_an_error_of_ours(text: str) -> None:
    with pytest.raises(PayloadError, match="stored JSON cannot be read"):
        decode(text)


@given(st.text(), st.integers(1, 20))
def test_clean_text_always_fits_postgresql(text: str, limit: int) -> None:
    clean = clean_text(text, limit)
    assert len(clean) <= limit
    assert "\x00" not in clean
    clean.encode()


@pytest.mark.parametrize("text", [' {"a": 1}', '{"a": 1}\n', '\t{"a":1} ', '{"a": 1}'])
def test_white_space_around_what_sql_has_stored_means_nothing(text: str) -> None:
    assert decode(text) == {"a": 1}


@pytest.mark.parametrize("text", ['{"a": 1} x', "1 2", "", " ", "{"])
def test_text_with_more_or_less_than_one_value_is_refused(text: str) -> None:
    with pytest.raises(PayloadError, match="cannot be read"):
        decode(text)


def test_an_integer_of_any_size_comes_back_as_it_was() -> None:
    assert decode(encode(2**200 + 1, "data")) == 2**200 + 1
