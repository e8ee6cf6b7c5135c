"""A number that a supervisor sets and the processes that it forks read."""

from __future__ import annotations

import mmap
import struct
from typing import Final

NUMBER: Final = struct.Struct("q")


class SharedNumber:
    """Memory that survives a fork as one and the same; eight bytes are read as a whole."""

    def __init__(self, value: int) -> None:
        self._memory = mmap.mmap(-1, NUMBER.size)
        self.set(value)

    def set(self, value: int) -> None:
        """Let every process see another number."""
        self._memory[:] = NUMBER.pack(value)

    def get(self) -> int:
        """Return the number."""
        value: int = NUMBER.unpack(self._memory[:])[0]
        return value
