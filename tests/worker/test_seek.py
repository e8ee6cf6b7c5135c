"""Where claims begin to look: nothing is skipped for longer than a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pgqueue.worker.seek import BUSY_SWEEP, DUTY, END, LOWEST, MAX_LANES, WHOLE, Seek

if TYPE_CHECKING:
    from pgqueue.worker.seek import Stretches

Place = tuple[int, int]


def looked_at(stretches: Stretches, place: Place) -> int:
    """Return in how many stretches a place lies."""
    starts = zip(stretches[0], stretches[1], strict=True)
    ends = zip(stretches[2], stretches[3], strict=True)
    return sum(a <= place < b for a, b in zip(starts, ends, strict=True))


PRIORITIES = st.integers(0, 2_097_151)
PLACES = st.tuples(PRIORITIES, st.integers(-(2**62), 2**62))


@given(
    lanes=st.dictionaries(PRIORITIES, st.integers(0, 1000), max_size=MAX_LANES),
    places=st.lists(PLACES),
)
def test_stretches_cover_every_place_once_but_what_is_below_a_bound(
    lanes: dict[int, int], places: list[Place]
) -> None:
    seek = Seek()
    for priority in lanes:
        seek.claimed([(priority, 1)], 0.0)
    for priority, low in lanes.items():
        seek.lanes[priority].low = low
    edges = [(p, s) for p, low in lanes.items() for s in (low - 1, low, -1, 0, LOWEST)]
    for priority, seq in [*places, *edges]:
        below = 0 <= seq < lanes.get(priority, 0)
        assert looked_at(seek.stretches(), (priority, seq)) == (0 if below else 1)


@given(lanes=st.sets(PRIORITIES, max_size=MAX_LANES))
def test_stretches_are_in_claim_order(lanes: set[int]) -> None:
    seek = Seek()
    seek.claimed([(priority, 5) for priority in sorted(lanes)], 0.0)
    from_priority, from_seq, to_priority, to_seq = seek.stretches()
    starts = list(zip(from_priority, from_seq, strict=True))
    ends = list(zip(to_priority, to_seq, strict=True))
    assert starts == sorted(starts)
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    assert ends[-1] == (END, LOWEST if lanes else 0)


def test_no_more_lanes_are_kept_than_a_claim_can_bear() -> None:
    seek = Seek()
    seek.claimed([(priority, 5) for priority in range(1000)], 0.0)
    assert len(seek.lanes) == MAX_LANES
    assert looked_at(seek.stretches(), (999, 1)) == 1


def test_a_lane_nobody_uses_makes_room_for_one_in_use() -> None:
    seek = Seek()
    seek.claimed([(priority, 5) for priority in range(MAX_LANES)], 0.0)
    for tick in range(100):
        seek.claimed([(2000, 5 + tick)], 10.0 + tick / 10)
    assert seek.lanes[2000].low > 0
    assert len(seek.lanes) == MAX_LANES


def test_one_slow_look_from_the_head_does_not_put_off_the_next() -> None:
    seek = Seek()
    seek.swept([], 1.0, 0.01)
    seek.swept([], 4.0, 2.5)
    assert seek.next_sweep() == 4.0 + DUTY * 0.01
    seek.swept([], 7.0, 2.0)
    assert seek.next_sweep() == 7.0 + DUTY * 2.0


def test_a_job_that_came_back_is_not_passed_by_what_was_claimed_before() -> None:
    seek = Seek()
    seek.claimed([(0, 100)], 0.0)
    seek.returned(0, 50)
    seek.claimed([(0, 50)], 0.2)
    seek.claimed([], 0.4)
    assert looked_at(seek.stretches(), (0, 51)) == 1


class Claims(RuleBasedStateMachine):
    """Adds, late commits, claims and releases, in any order, on one made-up queue."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.seek = Seek()
        self.seq = 0
        self.open: list[Place] = []
        self.visible: dict[Place, float] = {}
        self.held: list[Place] = []

    @rule(priority=st.integers(0, 3), commits=st.booleans(), lifo=st.booleans())
    def add(self, priority: int, *, commits: bool, lifo: bool) -> None:
        self.seq += 1
        place = (priority, -self.seq if lifo else self.seq)
        if commits:
            self.visible[place] = self.now
        else:
            self.open.append(place)

    @rule(pick=st.integers(0))
    def commit_late(self, pick: int) -> None:
        if self.open:
            self.visible[self.open.pop(pick % len(self.open))] = self.now

    @rule(pick=st.integers(0))
    def release(self, pick: int) -> None:
        if self.held:
            place = self.held.pop(pick % len(self.held))
            self.visible[place] = self.now
            self.seek.returned(*place)

    @rule(limit=st.integers(1, 5), passed=st.floats(0.001, 0.4))
    def claim(self, limit: int, passed: float) -> None:
        self.now += passed
        self.claim_now(limit)

    def claim_now(self, limit: int) -> bool:
        sweeping = self.seek.sweep_due(self.now, hungry=False)
        stretches = WHOLE if sweeping else self.seek.stretches()
        seen = sorted(p for p in self.visible if looked_at(stretches, p))[:limit]
        if sweeping:
            self.seek.swept(seen, self.now, 0.001)
        self.seek.claimed(seen, self.now)
        for place in seen:
            del self.visible[place]
            self.held.append(place)
        return sweeping and len(seen) < limit

    @invariant()
    def the_next_sweep_finds_the_best(self) -> None:
        """Whatever the hints say now, the best job is the next one that a sweep takes."""
        if self.visible:
            assert looked_at(WHOLE, min(self.visible)) == 1

    def teardown(self) -> None:
        for place in self.open:
            self.visible[place] = self.now
        for _ in range(3 + len(self.visible)):
            self.now += BUSY_SWEEP
            self.claim_now(5)
        assert not self.visible


TestClaims = Claims.TestCase
