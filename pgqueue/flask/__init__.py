"""Flask: queues by the app's configuration, handlers in its context, its commands.

Uses the public API only. Needs the extra `flask`.
"""

from pgqueue.flask.extension import PgQueue

__all__ = ["PgQueue"]
