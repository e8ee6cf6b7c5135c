"""What the books keep of one job, and of what a child left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Record:
    """One job.

    Attributes:
        place: where it stands in the order of its state; learnt from the database.
        due: when it may run; `gone_at`: when its retention ends; by the books' clock.
        failures: the rows of its failed attempts, the oldest first.
    """

    id: int
    queue: str
    state: str
    priority: int = 0
    attempts: int = 1
    attempt: int = 0
    stalled: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    progress: Any = None
    data: Any = None
    limits: dict[str, Any] = field(default_factory=dict)
    due: float | None = None
    occurrence: float | None = None
    parent: int | None = None
    group: str | None = None
    key: str | None = None
    rules: dict[str, Any] = field(default_factory=dict)
    added_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    gone_at: float | None = None
    newest: int | None = None
    place: float = 0.0
    fresh: bool = True
    flow: bool = False
    holder: int | None = None

    def log(self, line: str) -> None:
        """Take in a line of its log; only the newest are kept."""
        self.lines.append(line)
        most = self.limits.get("keep_logs")
        if most is not None:
            del self.lines[: len(self.lines) - most]

    def fail(self, reason: str) -> None:
        """Note a failed attempt; only the newest are kept."""
        self.failures.append((self.attempt, reason))
        most = self.limits.get("stack_limit")
        if most is not None:
            del self.failures[: len(self.failures) - most]

    def late(self, now: float) -> bool:
        """Whether it is not to be started any more."""
        expires = self.limits.get("expires")
        begin = self.added_at if self.occurrence is None else self.occurrence
        return expires is not None and now >= begin + expires


@dataclass
class Settled:
    """What a child left for its parent."""

    state: str
    policy: str
    counted: bool = False

    @property
    def counts(self) -> bool:
        failed = self.state == "failed" and self.policy in ("fail", "continue")
        return failed and not self.counted
