"""Going to sleep without missing a job, and being woken; decides, sends nothing.

Adds ring only if somebody sleeps, because NOTIFY serialises commits. So a worker first
says that it sleeps (a shared advisory lock on the session it claims on, gone with that
session), then looks once more. A transaction that looked for sleepers just before may
still be open: until every transaction older than that moment has ended, the worker
polls. From then on it trusts the bell.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from pgqueue import telemetry
from pgqueue.ops.core import Row, Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_POLL: Final = 0.01
LONGEST_POLL: Final = 0.5

BUSY_ROUNDS: Final = 4
"""After so many claims in a row that found jobs, adds need not ring any more."""

RINGS_A_SECOND: Final = 200
"""Rung more often than this, the worker polls for a while: NOTIFY is dear."""


class Asked(Enum):
    """What the last round trip asked for."""

    NOTHING = auto()
    ARM = auto()
    DISARM = auto()
    OLDEST = auto()


class Doze:
    """The sleep of one worker over all its queues.

    Attributes:
        armed: this session says that it sleeps.
        trusted: a job added from now on rings.
    """

    def __init__(self, queue_ids: Sequence[int]) -> None:
        self._places = [{"queue_id": queue_id} for queue_id in queue_ids]
        self._asked = Asked.NOTHING
        self._unclear = False
        self._mark = 0
        self._busy = 0
        self._rings: deque[float] = deque(maxlen=RINGS_A_SECOND)
        self._poll = FIRST_POLL
        self.armed = False
        self.trusted = False

    def rung(self, now: float) -> None:
        """Note that the bell was heard."""
        self._rings.append(now)

    def forget(self) -> None:
        """The session holds no lock: it let go of them, or is gone with them."""
        self.armed = self.trusted = self._unclear = False

    def doubt(self) -> None:
        """A round trip was refused: its locks stay taken, they know no rollback."""
        if self._asked in (Asked.ARM, Asked.DISARM):
            self.armed = self.trusted = False
            self._unclear = True

    def claimed(self, found: int) -> None:
        """Note what a claim found."""
        self._busy = self._busy + 1 if found else 0
        if found:
            self._poll = FIRST_POLL

    def next_poll(self) -> float:
        """Return how long to wait before looking again without being rung."""
        self._poll = min(LONGEST_POLL, self._poll * 1.5)
        return self._poll

    def statements(
        self, now: float, *, idle: bool, full: bool, listening: bool
    ) -> list[Statement]:
        """Return what goes out before the next claims.

        Args:
            now: seconds of the loop's clock.
            idle: there is room, and the last claims came back short.
            full: there is no room; being woken would change nothing.
            listening: the bell can be heard.
        """
        often = len(self._rings) == RINGS_A_SECOND and now - self._rings[0] < 1.0
        awake = full or self._busy >= BUSY_ROUNDS or often or not listening
        self._asked = Asked.NOTHING
        if self._unclear or (self.armed and awake):
            self._asked = Asked.DISARM
            return [Statement("disarm_doorbell", {})]
        if self.armed and not self.trusted:
            self._asked = Asked.OLDEST
            return [Statement("oldest_writer", {})]
        if not self.armed and idle and not self._busy and not awake:
            self._asked = Asked.ARM
            arm = [Statement("arm_doorbell", place) for place in self._places]
            return [*arm, Statement("sleep_mark", {})]
        return []

    def learn(self, answers: list[list[Row]]) -> None:
        """Take in the answers to `statements`."""
        match self._asked:
            case Asked.ARM:
                *taken, mark = (answer[0][0] for answer in answers)
                self._mark = mark
                self.armed = all(taken)
                # Session locks count: what was half taken goes before the next try.
                self._unclear = not self.armed
            case Asked.DISARM:
                self.forget()
            case Asked.OLDEST:
                # Whoever may have added without seeing this worker asleep has ended.
                self.trusted = answers[0][0][0] >= self._mark
                if self.trusted:
                    telemetry.emit("worker.sleeping")
            case Asked.NOTHING:
                pass
