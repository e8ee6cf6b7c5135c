"""The server of the tests: the one that `pgqueue.testing` finds for users too."""

from pgqueue.testing.server import IMAGE, SETTINGS, Server, find_server, with_database

__all__ = ["IMAGE", "SETTINGS", "Server", "find_server", "with_database"]
