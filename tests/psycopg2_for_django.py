"""A plugin of pytest: Django takes psycopg2, although psycopg 3 is installed too."""

from __future__ import annotations

import sys
from importlib import import_module

sys.modules["psycopg"] = None  # type: ignore[assignment]
BASE = import_module("django.db.backends.postgresql.base")
assert BASE.Database.__name__ == "psycopg2"
del sys.modules["psycopg"]
