"""What an operation is: a generator of statements, driven by `db.run`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, ParamSpec, TypeAlias, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

Row: TypeAlias = tuple[Any, ...]


class Statement(NamedTuple):
    """One statement of `pgqueue/sql`, by name, with its parameters."""

    name: str
    params: Mapping[str, Any]


Op: TypeAlias = Generator[Statement, list[Row], T]
"""`rows = yield Statement(…)` is an operation's `await`."""


@dataclass(frozen=True, slots=True)
class Atomic(Generic[T]):
    """An operation whose statements stand or fall together.

    Attributes:
        op: the operation.
        savepoint: whether a failure takes back what it did in a caller's transaction
            too, so that the caller may go on after it.
        then: what follows in transactions of its own once this one has committed; on a
            connection whose transaction is the caller's it is left out.
    """

    op: Op[T]
    savepoint: bool = False
    then: Op[object] | None = None


def atomic(make: Callable[P, Op[T]]) -> Callable[P, Atomic[T]]:
    """Mark an operation as one transaction on a connection of our own.

    On a caller's connection it joins the caller's transaction like any other. Without
    the mark each statement commits by itself, so that long work is short transactions.
    """

    def marked(*args: P.args, **kwargs: P.kwargs) -> Atomic[T]:
        return Atomic(make(*args, **kwargs))

    return marked


class Pause(NamedTuple):
    """A wait between two operations, during which no connection is held."""

    seconds: float


Course: TypeAlias = Generator[Op[Any] | Atomic[Any] | Pause, Any, T]
"""Operations and pauses, one after the other; `value = yield op` runs one of them."""
