"""Find the `module:object` of a command line, and say it in a sentence when it fails."""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from pathlib import Path
from typing import Any

from pgqueue.errors import ConfigError


def load(target: str) -> Any:
    """Import `package.module:object`, looking in the current directory first.

    Raises:
        ConfigError: there is no such module or object, or the module raised.
    """
    name, _, path = target.partition(":")
    if not name or not path:
        raise ConfigError(
            f"{target!r} does not name an object; it looks like app.jobs:worker"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found = import_module(name)
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            close = difflib.get_close_matches(part, dir(found), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"{name} has no {path!r}{hint}") from error
    return found


def import_module(name: str) -> Any:
    """Import a module, whatever it does meanwhile."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(
                f"there is no module {error.name!r}, neither here nor installed"
            ) from error
        raise ConfigError(f"cannot import {name}: {error}{place(error)}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit of a script without a main guard, too
        what = f"{type(error).__name__}: {error}"
        raise ConfigError(f"cannot import {name}: {what}{place(error)}") from error


def place(error: BaseException) -> str:
    """Return the file and line that raised, outside the import machinery."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        f for f in frames if f.filename != __file__ and "importlib" not in f.filename
    ]
    if not own:
        return ""
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})"
