"""An account that may run PostgreSQL, which refuses to run as root."""

from __future__ import annotations

import os
import pwd
import subprocess
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pgqueue.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# In a user namespace of its own a process is whom it says, with the rights of before.
OTHER_NAME: Final = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")


class Account(NamedTuple):
    """As whom to run a command: words to put before it, and arguments for `subprocess`."""

    prefix: tuple[str, ...] = ()
    rights: dict[str, Any] = {}  # noqa: RUF012  (never written to)

    def command(self, *words: str | Path) -> list[str | Path]:
        """Return the command as this account has to call it."""
        return [*self.prefix, *words]

    def runs(self, *words: str | Path) -> bool:
        """Say whether this account can run a command, and with success."""
        return _runs(self.command(*words), self.rights)

    def own(self, paths: Sequence[Path]) -> None:
        """Give files of ours to it."""
        if "user" in self.rights:
            user, group = self.rights["user"], self.rights["group"]
            for path in paths:
                os.chown(path, user, group, follow_symlinks=False)


def find() -> Account:
    """Return ourselves, or as root an account without root's rights.

    Raises:
        ConfigError: We are root, and can become nobody else.
    """
    if os.geteuid() != 0:
        return Account()
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        found = Account(
            rights={"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        )
        if found.runs("true"):
            return found
    # A container that was given one user id and no more has nobody to become.
    if (renamed := Account(prefix=OTHER_NAME)).runs("true"):
        return renamed
    raise ConfigError(
        "PostgreSQL does not run as root, and root may not become postgres or nobody"
        " here; run pgqueue as another user, or name a database in PGQUEUE_DSN"
    )


def _runs(command: list[str | Path], rights: dict[str, Any]) -> bool:
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, cwd="/", **rights
        )
    except OSError:
        # No such command, no right to run it, or no such user in this namespace.
        return False
    return done.returncode == 0
