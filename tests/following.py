"""Reading events although tests of other databases write beside this one."""

from __future__ import annotations

from typing import Final

import psycopg

from waiting import until

OTHERS: Final = """
    SELECT pid, backend_xid::text FROM pg_stat_activity
    WHERE backend_xid IS NOT NULL
    AND (datname <> current_database() OR backend_type <> 'client backend')
"""


def nothing_holds_back(dsn: str) -> None:
    """Return once no older writer hides events: of another database, or autovacuum."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        older = set(connection.execute(OTHERS))
        until(lambda: not older & set(connection.execute(OTHERS)), 60)
