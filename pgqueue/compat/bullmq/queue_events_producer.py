"""`QueueEventsProducer`: publish events of one's own to the followers of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgqueue.compat.bullmq.known import check_options
from pgqueue.compat.bullmq.link import Link
from pgqueue.compat.bullmq.queue_events import CUSTOM
from pgqueue.compat.bullmq.unsupported import ENDPOINT, Explained
from pgqueue.errors import ConfigError
from pgqueue.ops import queues

if TYPE_CHECKING:
    from collections.abc import Mapping


class QueueEventsProducer(Explained):
    """Publishes to the followers of a queue."""

    def __init__(self, name: str, opts: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.opts = dict(opts or {})
        check_options("queue events producer", self.opts, ENDPOINT)
        self.link = Link(name, self.opts)
        self.qualifiedName = self.link.queue

    async def publishEvent(
        self,
        args: Mapping[str, Any],
        maxEvents: int = 1000,
    ) -> None:
        """Publish `{"eventName": …, …}`; the other items are the listeners' args.

        Raises:
            ConfigError: there is no `eventName`.
        """
        given = dict(args)
        name = given.pop("eventName", None)
        if not isinstance(name, str) or not name:
            raise ConfigError.bad("eventName", name, "the name of an event")
        await self.link.run(
            queues.note(self.link.queue, CUSTOM, {"event": name, "args": given})
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self.link.close()
