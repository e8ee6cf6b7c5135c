"""Rules of those who look after whole queues."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from model.books import FINISHED
from model.lines import WINDOW
from model.table import Move, Table, moves, queues
from pgqueue import QueueNotEmpty


class Sweeping(Table):
    """Pauses, limits and empties queues."""

    @rule(
        move=moves(
            pause={"name": queues, "paused": st.booleans()},
            limit={"name": queues, "most": st.sampled_from([None, 1, 2])},
            limit_rate={"name": queues, "starts": st.sampled_from([None, 1, 3])},
            hold={"name": queues, "delay": st.sampled_from([0, 1000, 2000])},
        )
    )
    def set_limits(self, move: Move) -> None:
        """Let a queue do more, or less."""
        self.play(move)

    def pause(self, name: str, paused: bool) -> None:
        queue = self.queues[name]
        if paused:
            queue.pause(connection=self.connection)
            self.books.paused.add(name)
        else:
            queue.resume(connection=self.connection)
            self.books.paused.discard(name)

    def limit(self, name: str, most: int | None) -> None:
        self.queues[name].set_concurrency(most, connection=self.connection)
        self.books.most.pop(name, None)
        if most is not None:
            self.books.most[name] = most

    def limit_rate(self, name: str, starts: int | None) -> None:
        self.queues[name].set_rate_limit(starts, WINDOW, connection=self.connection)
        if starts is None:
            self.books.rate.pop(name, None)
            self.books.starts = [one for one in self.books.starts if one[0] != name]
        else:
            self.books.rate[name] = starts

    def hold(self, name: str, delay: int) -> None:
        self.queues[name].rate_limit(delay, connection=self.connection)
        self.books.until[name] = self.books.now + delay

    @rule(
        move=moves(
            drain={"name": queues, "delayed": st.booleans()},
            clean={
                "name": queues,
                "state": st.sampled_from(
                    ["waiting", "prioritized", "paused", "delayed", *FINISHED]
                ),
                "grace": st.sampled_from([0, 500]),
                "limit": st.integers(0, 2),
            },
            obliterate={"name": queues, "force": st.booleans()},
        )
    )
    def empty(self, move: Move) -> None:
        """Remove many jobs of a queue."""
        self.play(move)

    def drain(self, name: str, delayed: bool) -> None:
        books = self.books
        next_ones = books.pending(name)
        first = books.of(name, "delayed") if delayed else []
        first = [job for job in first if job.id not in next_ones]
        waiting = [j for j in books.of(name, "waiting") if j.id not in next_ones]
        count = self.queues[name].drain(delayed, connection=self.connection)
        assert count == len(first) + len(waiting)
        books.forget(first)
        books.forget(waiting)

    def clean(self, name: str, state: Any, grace: int, limit: int) -> None:
        books = self.books
        if state in (*FINISHED, "delayed"):
            found = books.of(name, state)
        else:
            found = books.of(name, "waiting")
            found = [j for j in found if state != "prioritized" or j.priority]
            found = [j for j in found if state != "waiting" or not j.priority]
            found = [j for j in found if state != "paused" or name in books.paused]
        if state not in FINISHED:
            found = [j for j in found if j.id not in books.pending(name)]
            found.sort(key=lambda j: j.id)
        edge = books.now - grace
        done = state in FINISHED
        found = [j for j in found if (j.finished_at if done else j.added_at) <= edge]
        found = found[: limit or None]
        gone = self.queues[name].clean(grace, limit, state, connection=self.connection)
        assert gone == [job.id for job in found]
        books.forget(found)

    def obliterate(self, name: str, force: bool) -> None:
        books = self.books
        active = books.of(name, "active")
        try:
            self.queues[name].obliterate(force=force, connection=self.connection)
        except QueueNotEmpty:
            assert active
            assert not force
            books.paused.add(name)
            return
        assert force or not active
        self.lost += [
            (job, self.players[name].id) for job in self.held if job.queue == name
        ]
        self.held = [job for job in self.held if job.queue != name]
        for place in [place for place in books.schedules if place[0] == name]:
            del books.schedules[place]
        books.forget(active)
        for state in ("waiting_children", "delayed", "waiting"):
            books.forget(books.of(name, state))
        books.forget(books.of(name, *FINISHED))
        books.settle_gone(name)
        books.forget_groups(name)
        books.paused.discard(name)
        books.most.pop(name, None)
        books.rate.pop(name, None)
        books.starts = [one for one in books.starts if one[0] != name]
        books.until.pop(name, None)
