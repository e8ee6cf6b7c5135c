"""A queue for each test of batches."""

from consistent import facts, queue

__all__ = ["facts", "queue"]
