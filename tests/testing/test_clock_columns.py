"""`travel` moves every instant that the schema has."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import DateTime

from pgqueue.schema import metadata

ROOT = Path(__file__).parents[2]


def test_every_instant_of_the_schema_is_moved() -> None:
    text = (ROOT / "pgqueue" / "sql" / "shift_clock.sql").read_text("utf-8")
    moved = set()
    for table, body in re.findall(
        r"UPDATE pgqueue\.(\w+) SET (.*?) FROM by\n\)", text, re.DOTALL
    ):
        moved |= {(table, name) for name in re.findall(r"(\w+) = \1 - by\.time", body)}
    for table, alias in re.findall(r"FROM (\w+)_gone (\w)", text):
        moved |= {
            (table, name) for name in re.findall(rf"{alias}\.(\w+) - by\.time", text)
        }
    declared = {
        (table.name, column.name)
        for table in metadata().tables.values()
        for column in table.columns
        if isinstance(column.type, DateTime)
    }
    assert moved == declared


def test_rows_made_anew_keep_every_column() -> None:
    text = (ROOT / "pgqueue" / "sql" / "shift_clock.sql").read_text("utf-8")
    for name in ("rate", "group_rate", "metric"):
        columns = re.search(
            rf"INSERT INTO pgqueue\.{name}\s+\((.*?)\)", text, re.DOTALL
        )
        assert columns is not None
        written = {one.strip(' \n"') for one in columns[1].split(",")}
        assert written == set(metadata().tables[f"pgqueue.{name}"].columns.keys())
