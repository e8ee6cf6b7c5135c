"""A queue that must be consistent at the end, whatever was done to its workers."""

from consistent import facts, queue

__all__ = ["facts", "queue"]
