"""What `flask pgqueue worker` runs: `worker` is that of the app that is current."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flask import current_app

from pgqueue.flask.context import KEY

if TYPE_CHECKING:
    from flask import Flask

    from pgqueue.flask.extension import State


def __getattr__(name: str) -> Any:
    if name != "worker":
        raise AttributeError(name)
    state: State = current_app.extensions[KEY]
    app = cast("Flask", current_app._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001
    return state.extension.worker(app)
