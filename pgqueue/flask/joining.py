"""A queue whose jobs are part of an SQLAlchemy session's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from flask import has_app_context

from pgqueue.queue import Queue

if TYPE_CHECKING:
    from pgqueue.ops.core import Atomic, Op

T = TypeVar("T")


class SessionQueue(Queue):
    """A `Queue` that, within an app context, runs on the session's connection.

    Whatever is called then commits with the session, or is rolled back with it. With a
    `connection=`, and outside of any app context, it is a queue like others.
    """

    def __init__(self, name: str, session: Any) -> None:
        super().__init__(name)
        self._session = session

    def _borrows(self, connection: Any) -> bool:
        return connection is not None or has_app_context()

    def _run(self, op: Op[T] | Atomic[T], connection: Any) -> T:
        if connection is None and has_app_context():
            connection = self._session
        return super()._run(op, connection)
