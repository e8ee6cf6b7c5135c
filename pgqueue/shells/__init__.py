"""The methods of `Queue` and `AsyncQueue`, by concern: both kinds side by side.

Each method is one line over an operation. What it promises is said once, at the sync
one.
"""
