"""The statements: one file a transition, static text, loaded once.

A file says in its header what the SQL cannot: the transition, the intent, the race. All
names are written `pgqueue.…`; another schema is one exact replacement at load.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

PLANNED_ANEW: Final = frozenset(
    {
        "change_priority",
        "count_jobs",
        "count_priorities",
        "drain_blocked",
        "drain_delayed",
        "drain_finished",
        "drain_waiting",
        "drop_leases",
        "find_delayed",
        "find_ending",
        "find_expired",
        "find_finished",
        "find_upkeep",
        "find_waiting",
        "get_jobs",
        "list_active",
        "list_delayed",
        "list_finished",
        "list_followed",
        "list_groups",
        "list_metrics",
        "list_offspring",
        "list_tree",
        "list_waiting",
        "note_drained",
        "promote_delayed",
        "prune_finished",
        "read_events",
        "remove_expired",
        "remove_jobs",
        "retry_job",
        "retry_jobs",
        "search_jobs",
        "trim_events",
        "trim_finished",
        "trim_metrics",
        "update_data",
    }
)
"""Never prepared: a plan made while the tables were empty would be kept after they have
grown. Each of these does much, or rarely, and planning costs it little."""


@cache
def load(name: str, schema: str = "pgqueue") -> bytes:
    """Return the text of one statement for one schema.

    Raises:
        FileNotFoundError: no statement has this name.
    """
    lines = (files(__name__) / f"{name}.sql").read_text("utf-8").splitlines()
    # Without comments and indentation: the driver remembers how it parsed a statement
    # only up to 4 kB. The first line stays: by it a statement is known in the server.
    rest = (line.strip() for line in lines[1:])
    text = "\n".join([lines[0], *(line for line in rest if not line.startswith("--"))])
    return text.replace("pgqueue.", f"{schema}.").encode()


def names() -> list[str]:
    """Return the names of all statements, sorted."""
    found = (entry.name for entry in files(__name__).iterdir())
    return sorted(name[:-4] for name in found if name.endswith(".sql"))
