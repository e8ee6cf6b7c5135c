"""Every Python example of README.md and docs/ runs; nothing printed there is a lie."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

from pgqueue.shells import site
from pgqueue.telemetry import LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if path.exists() and "adr" not in path.parts
]

CAPABILITIES = (
    *("batches", "bullmq", "control", "deduplication", "events", "flows", "groups"),
    *("isolation", "limits", "observing", "retention", "schedules"),
)


@pytest.fixture
def _configured(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PGQUEUE_DSN", dsn)
    # Tests of Django in the same process have installed its app, the reader has not.
    monkeypatch.setattr(site, "_places", [])
    return


@pytest.mark.usefixtures("_configured")
@pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_the_examples_run(path: Path) -> None:
    """The examples of a document share a namespace and run from top to bottom."""
    sybil = Sybil(parsers=[PythonCodeBlockParser(), SkipParser()], path=str(ROOT))
    for example in sybil.parse(path).examples():
        example.evaluate()


def test_each_fact_that_is_logged_by_default_is_in_the_table_of_its_level() -> None:
    text = (ROOT / "docs" / "workers.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| (ERROR|WARNING|INFO) \| (.*) \|$", text, re.MULTILINE))
    told = {
        (level, fact)
        for level, row in rows.items()
        for fact in re.findall(r"`([a-z]+\.[a-z]+)`", row)
    }
    assert told == {
        (logging.getLevelName(level), fact)
        for fact, level in LEVELS.items()
        if level >= logging.INFO
    }


@pytest.mark.parametrize("name", CAPABILITIES)
def test_a_capability_has_a_page_with_an_example(name: str) -> None:
    path = ROOT / "docs" / f"{name}.md"
    assert path in DOCUMENTS
    sybil = Sybil(parsers=[PythonCodeBlockParser()], path=str(ROOT))
    assert list(sybil.parse(path).examples())


@pytest.mark.parametrize("name", ["bullmq", "celery", "procrastinate", "rq"])
def test_a_guide_for_moving_in_has_the_code_before_and_after(name: str) -> None:
    text = (ROOT / "docs" / "migrating" / f"{name}.md").read_text("utf-8")
    before, after = text.split("\nAfter:\n", 1)
    before = before.split("\nBefore:\n", 1)[1]
    assert "```" in before
    assert "pgqueue" not in before
    assert re.search(r"^(from|import) pgqueue", after, re.MULTILINE)
    assert "## Switching over" in after
