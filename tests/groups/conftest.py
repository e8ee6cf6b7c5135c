"""A queue for each test of the groups."""

from consistent import facts, queue

__all__ = ["facts", "queue"]
