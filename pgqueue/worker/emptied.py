"""Who is to be told that a queue has run empty: its followers, if it has any."""

from __future__ import annotations

from pgqueue.ops.core import Statement


class Emptied:
    """The drained queues whose followers have not been told yet.

    Attributes:
        owed: ids of those queues; asked about in a transaction after the one that
            wrote the last outcomes.
    """

    def __init__(self) -> None:
        self._followed: set[int] = set()
        self.owed: set[int] = set()

    def follow(self, queue_ids: set[int]) -> None:
        """Learn which queues have followers."""
        self._followed = queue_ids

    def drained(self) -> None:
        """Note that all queues of the worker have run empty."""
        self.owed = set(self._followed)

    def statements(self) -> list[Statement]:
        """Return what tells the followers of one queue, in one transaction."""
        params = {"queue_id": self.owed.pop()}
        return [Statement("hold_queue", params), Statement("note_drained", params)]
