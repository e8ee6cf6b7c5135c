"""Tell a running processor to stop: a controller, and the signal it sets."""

from __future__ import annotations

import asyncio


class AbortError(Exception):
    """Raised by a processor that was told to stop."""

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(reason or "aborted without a reason")
        self.reason = reason


class AbortSignal:
    """What a processor looks at."""

    def __init__(self) -> None:
        self._set = asyncio.Event()
        self._reason: str | None = None

    @property
    def aborted(self) -> bool:
        """Whether the controller has aborted."""
        return self._set.is_set()

    @property
    def reason(self) -> str | None:
        """Why; None before."""
        return self._reason

    async def wait(self) -> None:
        """Return once it was aborted."""
        await self._set.wait()

    def throw_if_aborted(self) -> None:
        """Raise `AbortError` if it was."""
        if self.aborted:
            raise AbortError(self._reason)

    def _abort(self, reason: str | None) -> None:
        if not self.aborted:
            self._reason = reason
            self._set.set()


class AbortController:
    """Owns a signal."""

    def __init__(self) -> None:
        self.signal = AbortSignal()

    def abort(self, reason: str | None = None) -> None:
        """Abort the signal; a second call changes nothing."""
        self.signal._abort(reason)  # noqa: SLF001  the two are one thing
