"""Ctrl-C and SIGTERM at moments of our choosing, so that nothing is left behind."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def nothing() -> None:
    """Let the interrupt wait for the end of the block."""


class Interrupts:
    """Raises `KeyboardInterrupt` on a signal, except where it is held back."""

    def __init__(self) -> None:
        self.count = 0
        self._react: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        self._before = {
            number: signal.signal(number, self._on_signal) for number in SIGNALS
        }
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def held(self, react: Callable[[], None] = nothing) -> Iterator[None]:
        """Call *react* on a signal, and raise only once the block is left."""
        outer, self._react = self._react, react
        before = self.count
        try:
            yield
        except Exception:
            # What fails after Ctrl-C, fails because of it.
            if self.count == before:
                raise
        finally:
            self._react = outer
        if self.count > before and outer is None:
            raise KeyboardInterrupt

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._react is None:
            raise KeyboardInterrupt
        self._react()
