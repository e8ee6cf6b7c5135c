"""A queue for each test of the limits."""

from consistent import facts, queue

__all__ = ["facts", "queue"]
