"""Small files: what does not fit on a few screens is two things."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMITS = {".py": 400, ".sql": 60}

# Longer ones, each with the reason why it is not two.
EXCEPTIONS = {
    "pgqueue/sql/finish_jobs.sql": "a batch of outcomes and the lease that guards them",
    "pgqueue/sql/claim_jobs.sql": "where to look, what to take, and its lease",
    "pgqueue/sql/claim_limited.sql": "the same, with the room that the limits leave",
    "pgqueue/sql/claim_grouped.sql": "the same, and the turns of the groups",
    "pgqueue/sql/form_line.sql": "all that changes a row of the line, as one statement may once",
    "pgqueue/sql/shift_clock.sql": "every instant that there is, at once",
    "pgqueue/sql/recover_jobs.sql": "two ways back, each with what hangs on it"
    " must be one statement, or a crash could apply half of them",
}

FILES = [
    path.relative_to(ROOT).as_posix()
    for path in sorted((ROOT / "pgqueue").rglob("*"))
    if path.suffix in LIMITS
]


def is_too_long(name: str) -> bool:
    path = ROOT / name
    return len(path.read_text().splitlines()) > LIMITS[path.suffix]


@pytest.mark.parametrize("name", FILES)
def test_a_file_stays_under_its_limit(name: str) -> None:
    assert is_too_long(name) == (name in EXCEPTIONS), (
        f"{name}: at most {LIMITS[Path(name).suffix]} lines,"
        " or an entry in EXCEPTIONS with the reason"
    )


def test_every_exception_is_a_file() -> None:
    assert set(EXCEPTIONS) <= set(FILES)
