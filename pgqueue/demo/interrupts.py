"""Ctrl-C and SIGTERM at moments of our choosing, so that nothing is left behind."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import FrameType

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE: Final = 2


class Interrupts:
    """Remembers signals until somebody asks; a third one does not wait for that.

    A half started server cannot be stopped, nor half a migration taken back, and each
    of these takes a second: better to finish one and then leave.
    """

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        self._before = {
            number: signal.signal(number, self._on_signal) for number in SIGNALS
        }
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.count and isinstance(error, Exception):
            # What fails after Ctrl-C, fails because of it.
            raise KeyboardInterrupt from error

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if a signal came."""
        if self.count:
            raise KeyboardInterrupt

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count > PATIENCE:
            raise KeyboardInterrupt
