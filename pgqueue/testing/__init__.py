"""Help for tests of applications: what was added, run it now, let time pass.

Everything works on the test's own connection, in its own uncommitted transaction.
"""

from pgqueue.testing.asserting import (
    aassert_added,
    aassert_nothing_added,
    assert_added,
    assert_nothing_added,
)
from pgqueue.testing.clock import atravel, travel
from pgqueue.testing.pending import arun_pending, run_pending
from pgqueue.testing.running import Run

__all__ = [
    "Run",
    "aassert_added",
    "aassert_nothing_added",
    "arun_pending",
    "assert_added",
    "assert_nothing_added",
    "atravel",
    "run_pending",
    "travel",
]
