"""Backoff: from the number of attempts made to the delay before the next one; pure."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgqueue.types import Backoff

LONGEST = 10 * 365 * 86400.0
"""No computed delay exceeds ten years, whatever the exponent."""


def delay_before_retry(
    backoff: Backoff | None, made: int, draw: Callable[[], float] = random.random
) -> float:
    """Return the seconds to wait after the *made*-th attempt failed.

    Args:
        backoff: None means an immediate retry.
        made: attempts made so far, 1 or more.
        draw: a random number in [0, 1), for the jitter.
    """
    if backoff is None:
        return 0.0
    delay = backoff.delay
    if backoff.kind == "exponential":
        # 2**1024 is no float; 64 doublings pass every limit already.
        delay *= 2.0 ** min(made - 1, 64)
    delay = min(delay, LONGEST if backoff.max is None else min(backoff.max, LONGEST))
    return delay - delay * backoff.jitter * draw()
