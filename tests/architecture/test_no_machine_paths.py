"""The repository knows neither the machine it was written on nor its mirrors."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Written in pieces, so that this file does not find itself.
MACHINE = re.compile(
    r"(?<![\w.-])/(?:wo"
    r"rk|ro"
    r"ot|ho"
    r"me/\w+|Us"
    r"ers/\w+)/"
    r"|https?://[\w.:-]*(?:/py"
    r"pi/|/si"
    r"mple\b|arti"
    r"factory|ne"
    r"xus)"
    r"|(?:extra-)?in"
    r"dex-url|PIP_IN"
    r"DEX"
)


def committed() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], check=False, capture_output=True, text=True, cwd=ROOT
    )
    return [name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]


def test_no_committed_file_names_a_machine_or_a_registry() -> None:
    files = committed()
    if not files:
        pytest.skip("not a git checkout")
    found = []
    for name in files:
        try:
            text = (ROOT / name).read_text("utf-8")
        except UnicodeDecodeError:
            continue
        lines = enumerate(text.splitlines(), 1)
        found += [f"{name}:{n}: {line}" for n, line in lines if MACHINE.search(line)]
    assert not found, "\n".join(found)
