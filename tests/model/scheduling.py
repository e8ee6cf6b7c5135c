"""Rules of those who look after schedules."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from model.adding import options
from model.cadences import Cadence
from model.table import Move, Table, moves, queues, which

if TYPE_CHECKING:
    from model.lines import Place

cadences = st.builds(
    Cadence,
    every=st.sampled_from([1000, 1000, 3000, None]),
    limit=st.sampled_from([None, None, 1, 2]),
    end=st.sampled_from([None, None, 2500]),
    immediately=st.booleans(),
    missed=st.sampled_from(["skip", "all"]),
)
made = precondition(lambda self: self.books.schedules)


class Scheduling(Table):
    """Makes, pauses and removes schedules."""

    @rule(name=queues, key=st.sampled_from("st"), cadence=cadences, given=options)
    def upsert_schedule(
        self, name: str, key: str, cadence: Cadence, given: dict[str, Any]
    ) -> None:
        given = {**self.fit(name, given), "delay": None, "stack_limit": None}
        unknown = ("delay", "stack_limit")
        template = {word: given[word] for word in given if word not in unknown}
        hour = self.origin + timedelta(seconds=650)
        if cadence.every is None:
            template["cron"] = f"{hour.second} {hour.minute} * * * *"
        else:
            template |= {"every": cadence.every, "start": self.origin}
        if cadence.end is not None:
            template["end"] = self.origin + timedelta(seconds=cadence.end)
        self.queues[name].upsert_schedule(
            key,
            limit=cadence.limit,
            immediately=cadence.immediately,
            missed=cadence.missed,
            name="n",
            connection=self.connection,
            **template,
        )
        self.books.upsert((name, key), cadence, given)

    def chosen(self, which: int) -> Place:
        places = sorted(self.books.schedules)
        return places[which % len(places)]

    @made
    @rule(
        move=moves(
            pause_schedule={"which": which},
            resume_schedule={"which": which},
            remove_schedule={"which": which},
        )
    )
    def change_schedule(self, move: Move) -> None:
        """Stop a schedule, for a while or for ever, or let it go on."""
        self.play(move)

    def pause_schedule(self, which: int) -> None:
        name, key = self.chosen(which)
        found = self.queues[name].pause_schedule(key, connection=self.connection)
        assert (found.paused, found.next_at, found.job_id) == (True, None, None)
        self.books.pause((name, key))

    def resume_schedule(self, which: int) -> None:
        name, key = self.chosen(which)
        found = self.queues[name].resume_schedule(key, connection=self.connection)
        self.books.resume((name, key))
        assert not found.paused
        assert found.ended == (self.books.schedules[name, key].next is None)

    def remove_schedule(self, which: int) -> None:
        name, key = self.chosen(which)
        assert self.queues[name].remove_schedule(key, connection=self.connection)
        self.books.withdraw(self.books.schedules.pop((name, key)))
