"""Rules of those who look after groups."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from model.lines import EVER, WINDOW, Allowed
from model.table import GROUPS, Move, Table, moves, queues

groups = st.sampled_from(GROUPS)
some_or_all = st.sampled_from([*GROUPS, None])


class Grouping(Table):
    """Pauses and limits groups, and looks at them."""

    @rule(
        move=moves(
            pause_group={"name": queues, "group": groups, "paused": st.booleans()},
            limit_group={
                "name": queues,
                "group": some_or_all,
                "most": st.sampled_from([None, 1, 2]),
            },
            limit_group_rate={
                "name": queues,
                "group": some_or_all,
                "starts": st.sampled_from([None, 1, 2]),
            },
        )
    )
    def set_groups(self, move: Move) -> None:
        """Let groups do more, or less."""
        self.play(move)

    def pause_group(self, name: str, group: str, paused: bool) -> None:
        queue, books = self.queues[name], self.books
        change = queue.pause_group if paused else queue.resume_group
        before = books.allowed(name, group).paused
        assert change(group, connection=self.connection) == (paused != before)
        if paused != before:
            books.own.setdefault((name, group), Allowed()).paused = paused
            books.arrive(name, group, again=True)

    def limit_group(self, name: str, group: str | None, most: int | None) -> None:
        queue = self.queues[name]
        queue.set_group_concurrency(group, most, connection=self.connection)
        self.word(name, group).most = most
        self.books.arrive(name, group, again=True)

    def limit_group_rate(
        self, name: str, group: str | None, starts: int | None
    ) -> None:
        queue = self.queues[name]
        queue.set_group_rate_limit(group, starts, WINDOW, connection=self.connection)
        self.word(name, group).starts = starts
        self.books.arrive(name, group, again=True)

    def word(self, name: str, group: str | None) -> Allowed:
        if group is None:
            return self.books.common.setdefault(name, Allowed())
        return self.books.own.setdefault((name, group), Allowed())

    def look_at_groups(self, name: str) -> None:
        """What is told of groups is what the books say."""
        books, seen = self.books, {}
        for group in GROUPS:
            waiting = len(books.line(name, group))
            running = books.running_of(name, group)
            may = books.allowed(name, group)
            own = books.own.get((name, group), Allowed()) != Allowed()
            if waiting or running or own:
                state = "waiting"
                if may.paused:
                    state = "paused"
                elif not waiting:
                    state = "idle"
                elif (EVER if may.most is None else may.most) <= running:
                    state = "full"
                elif books.starts_left(name, group) <= 0:
                    state = "limited"
                limits = (may.paused, may.most, may.starts)
                seen[group] = (state, waiting, running, *limits)
        found = self.queues[name].groups(connection=self.connection)
        assert {
            g.name: (g.state, g.waiting, g.active, g.paused, g.concurrency, g.max)
            for g in found
        } == seen
