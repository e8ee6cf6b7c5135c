"""What the folders promise: nothing shadows Alembic, and imports stay light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = (
    "alembic",
    "asyncpg",
    "click",
    "django",
    "fastapi",
    "flask",
    "psycopg2",
    "rich",
    "sqlalchemy",
    "starlette",
)


@pytest.mark.parametrize("folder", ["alembic", "alembic/versions"])
def test_the_migrations_are_no_package(folder: str) -> None:
    """With an `__init__.py` the folder would shadow the Alembic library."""
    assert not (ROOT / folder / "__init__.py").exists()


def test_the_alembic_library_is_what_one_imports() -> None:
    command = "from alembic import op; import alembic; print(alembic.__file__)"
    assert "site-packages" in run(command, cwd=ROOT)


def test_importing_pgqueue_loads_no_framework() -> None:
    loaded = run("import pgqueue, sys; print(*sys.modules)").split()
    assert not set(HEAVY) & set(loaded)


def test_the_package_is_typed() -> None:
    assert (ROOT / "pgqueue" / "py.typed").exists()


def run(code: str, cwd: Path | None = None) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=cwd,
    ).stdout
