"""`Queue` and `AsyncQueue` are one API: the same calls, options and defaults."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from pgqueue import (
    AsyncFlowProducer,
    AsyncQueue,
    AsyncQueueEvents,
    FlowProducer,
    Queue,
    QueueEvents,
)

PAIRS = [
    pytest.param(Queue, AsyncQueue, id="Queue"),
    pytest.param(QueueEvents, AsyncQueueEvents, id="QueueEvents"),
    pytest.param(FlowProducer, AsyncFlowProducer, id="FlowProducer"),
]

# The async twin's annotations, where they cannot be the same words.
SAME_WORDS = (
    ("AsyncIterator", "Iterator"),
    ("AsyncConnection", "Connection"),
    ("AsyncContextManager", "ContextManager"),
    ("AsyncQueue", "Queue"),
    ("AsyncFlowProducer", "FlowProducer"),
    ("Async", ""),
)

pair = pytest.mark.parametrize(("sync", "asynchronous"), PAIRS)


def public(cls: type) -> dict[str, Any]:
    return {
        name: member
        for name, member in inspect.getmembers(cls)
        if not name.startswith("_") and callable(member)
    }


def parameters(method: Any) -> list[tuple[str, Any, Any, str]]:
    return [
        (p.name, p.kind, p.default, words(p.annotation))
        for p in inspect.signature(method).parameters.values()
    ]


def words(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else repr(annotation)
    for theirs, ours in SAME_WORDS:
        text = text.replace(theirs, ours)
    return text


@pair
def test_both_have_the_same_methods(sync: type, asynchronous: type) -> None:
    assert sorted(public(sync)) == sorted(public(asynchronous))


@pair
def test_the_methods_take_the_same_arguments(sync: type, asynchronous: type) -> None:
    twins = public(asynchronous)
    assert {name: parameters(m) for name, m in public(sync).items()} == {
        name: parameters(twins[name]) for name in public(sync)
    }


@pair
def test_the_methods_return_the_same(sync: type, asynchronous: type) -> None:
    twins = public(asynchronous)
    assert {
        name: words(inspect.signature(m).return_annotation)
        for name, m in public(sync).items()
    } == {
        name: words(inspect.signature(twins[name]).return_annotation)
        for name in public(sync)
    }


@pair
def test_both_are_made_alike(sync: type, asynchronous: type) -> None:
    assert parameters(sync.__init__) == parameters(asynchronous.__init__)  # type: ignore[misc]


@pair
def test_both_have_a_first_line_of_documentation(
    sync: type, asynchronous: type
) -> None:
    for cls in (sync, asynchronous):
        bare = [name for name, m in public(cls).items() if not inspect.getdoc(m)]
        assert not bare, f"{cls.__name__}: undocumented: {bare}"
