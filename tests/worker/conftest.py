"""A queue for each test of the worker."""

from consistent import facts, queue

__all__ = ["facts", "queue"]
