"""Queues and flows whose jobs are part of an SQLAlchemy session's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from flask import has_app_context

from pgqueue.flow import FlowProducer
from pgqueue.queue import Queue
from pgqueue.shells.base import Caller

if TYPE_CHECKING:
    from pgqueue.ops.core import Atomic, Op

T = TypeVar("T")


class InSession(Caller):
    """Within an app context its calls run on the session's connection.

    Whatever is called then commits with the session, or is rolled back with it. With a
    `connection=`, and outside of any app context, it is like others.
    """

    _session: Any = None

    def _borrows(self, connection: Any) -> bool:
        return connection is not None or self._joins()

    def _run(self, op: Op[T] | Atomic[T], connection: Any) -> T:
        if connection is None and self._joins():
            connection = self._session
        return super()._run(op, connection)

    def _joins(self) -> bool:
        return self._session is not None and has_app_context()


class SessionQueue(InSession, Queue):
    """A `Queue` in a session."""


class SessionFlowProducer(InSession, FlowProducer):
    """A `FlowProducer` in a session."""
