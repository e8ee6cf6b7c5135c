"""`pgqueue demo`: read Python's own standard library, one job a file, and show it.

Starts a private PostgreSQL unless it is given a database. Needs rich, so nothing but
the command imports this.
"""

from pgqueue.demo.show import Show
from pgqueue.demo.tour import demo

__all__ = ["Show", "demo"]
