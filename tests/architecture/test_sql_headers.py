"""Every statement says what it is, and names its tables in full."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STATEMENTS = sorted((ROOT / "pgqueue" / "sql").glob("*.sql"))
MIGRATIONS = sorted((ROOT / "alembic" / "versions").glob("*.py"))
RELATION = re.compile(r"CREATE (?:TABLE|(?:OR REPLACE )?VIEW) pgqueue\.(\w+)")
CTE = re.compile(
    r"(?:\bWITH(?: RECURSIVE)?|,)\s+(\w+)(?:\s*\([^()]*\))?\s+AS\b", re.IGNORECASE
)
USE = re.compile(
    r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE|USING)\s+(?:ONLY\s+)?(\w+)\b(?!\s*[.(])",
    re.IGNORECASE,
)

RELATIONS = {
    name for path in MIGRATIONS for name in RELATION.findall(path.read_text("utf-8"))
}

statement = pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: path.stem)


def code(path: Path) -> str:
    """Return the SQL without its comments and strings."""
    text = re.sub(r"--.*", "", path.read_text("utf-8"))
    return re.sub(r"'[^']*'", "''", text)


@statement
def test_the_first_line_names_the_statement_and_what_it_does(path: Path) -> None:
    first = path.read_text("utf-8").partition("\n")[0]
    assert re.fullmatch(rf"-- {path.stem}: \S.*", first)


@statement
def test_the_second_line_says_why(path: Path) -> None:
    assert re.match(r"-- \S", path.read_text("utf-8").splitlines()[1])


@statement
def test_tables_are_written_with_their_schema(path: Path) -> None:
    text = code(path)
    bare = set(USE.findall(text)) & RELATIONS - set(CTE.findall(text))
    assert not bare, f"write pgqueue.{bare.pop()}"


@statement
def test_no_statement_depends_on_the_search_path(path: Path) -> None:
    assert "search_path" not in code(path)


@statement
def test_a_file_is_one_statement(path: Path) -> None:
    """The driver sends it as one prepared statement, so it has no semicolon."""
    assert ";" not in code(path)


def test_the_migrations_were_read() -> None:
    assert "job" in RELATIONS
    assert STATEMENTS
