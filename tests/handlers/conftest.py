"""A queue for each test of handlers by name."""

from consistent import facts, queue

__all__ = ["facts", "queue"]
