"""Rules by which jobs come in: one by one, as flows, under parents."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from model.books import FINISHED
from model.table import GROUPS, QUEUES, STATES, Table, queues, which
from pgqueue import Dedup, FlowNode, JobError, KeepJobs, NewJob

if TYPE_CHECKING:
    from pgqueue.types import FlowJob, Job

policies = st.sampled_from(["fail", "continue", "ignore", "remove"])
keeps = st.sampled_from([None, None, True, 1, KeepJobs(age=1000, count=2), False])
keys = st.sampled_from([None, None, "k", "l"])
rules = st.builds(
    dataclasses.replace,
    st.sampled_from(
        [
            Dedup("d"),
            Dedup("d", ttl=2000),
            Dedup("d", ttl=2000, extend=True),
            Dedup("d", ttl=1000, replace=True, extend=True),
            Dedup("d", replace=True),
            Dedup("d", keep_last_if_active=True),
        ]
    ),
    id=st.sampled_from(["d", "d", "e"]),
)


def able_to_start(drawn: dict[str, Any]) -> dict[str, Any]:
    """Let a job not expire before it is due: such a one is refused."""
    delay, expires = drawn["delay"], drawn["expires"]
    if delay is not None and expires is not None and expires <= delay:
        return drawn | {"expires": None}
    return drawn


options = st.fixed_dictionaries(
    {
        "delay": st.sampled_from([None, None, 1000, 3000]),
        "priority": st.sampled_from([0, 0, 3]),
        "lifo": st.booleans(),
        "group": st.sampled_from([None, None, *GROUPS]),
        "attempts": st.sampled_from([1, 2]),
        "expires": st.sampled_from([None, None, None, 1000, 3000]),
        "keep_logs": st.sampled_from([None, None, 0, 1, 2]),
        "stack_limit": st.sampled_from([None, None, 1]),
        "remove_on_complete": keeps,
        "remove_on_fail": keeps,
    }
).map(able_to_start)
trees = st.recursive(
    st.builds(dict, queue=queues, policy=policies, options=options, below=st.just([])),
    lambda below: st.builds(
        dict,
        queue=queues,
        policy=policies,
        options=options,
        below=st.lists(below, min_size=1, max_size=2),
    ),
    max_leaves=4,
)


def node(tree: dict[str, Any]) -> FlowNode:
    below = [node(one) for one in tree["below"]]
    return FlowNode(
        "n",
        queue=tree["queue"],
        children=below,
        on_child_failure=tree["policy"],
        **tree["options"],
    )


class Adding(Table):
    """Adds."""

    @initialize(
        grouped=st.sampled_from([(), ("a",), ("b",), QUEUES]),
        first=st.lists(st.tuples(queues, options), min_size=2, max_size=6),
    )
    def begin(
        self, grouped: tuple[str, ...], first: list[tuple[str, dict[str, Any]]]
    ) -> None:
        self.set_up(grouped)
        for name, given in first:
            self.add(name, given, None, None)

    @rule(name=queues, given=options, key=keys, dedup=st.one_of(st.none(), rules))
    def add(
        self, name: str, given: dict[str, Any], key: str | None, dedup: Dedup | None
    ) -> None:
        given = self.fit(name, given)
        if dedup is not None:
            self.add_for(name, given, dedup, key)
        else:
            job = self.queues[name].add(
                "n", key=key, connection=self.connection, **given
            )
            self.enter(job, given, key)

    @rule(name=queues, given=st.lists(st.tuples(options, keys), max_size=4))
    def add_bulk(self, name: str, given: list[tuple[dict[str, Any], Any]]) -> None:
        given = [(self.fit(name, options), key) for options, key in given]
        new = [NewJob("n", key=key, **options) for options, key in given]
        jobs = self.queues[name].add_bulk(new, connection=self.connection)
        for job, (options, key) in zip(jobs, given, strict=True):
            self.enter(job, options, key)

    def enter(self, job: Job, given: dict[str, Any], key: str | None) -> None:
        """Take in a job, unless its key is another's: then that one was returned."""
        standing = self.books.keyed(job.queue, key)
        if standing is None:
            self.books.add(self.entered(job.id, job.queue, given, key=key))
        else:
            assert job.id == standing.id
            assert job.state == standing.state
            self.books.tell(standing, "duplicated")

    def add_for(
        self,
        name: str,
        given: dict[str, Any],
        dedup: Dedup,
        key: str | None = None,
    ) -> None:
        given = self.fit(name, given)
        job = self.queues[name].add(
            "n", dedup=dedup, key=key, connection=self.connection, **given
        )
        new = self.entered(job.id, name, given, key=key)
        assert self.books.dedup(new, dedup, given) == job.id

    @precondition(lambda self: self.books.running())
    @rule(which=which, given=options, dedup=rules, key=keys)
    def add_while_it_runs(
        self, which: int, given: dict[str, Any], dedup: Any, key: str | None
    ) -> None:
        running = self.books.running()
        name, dedup_id = running[which % len(running)]
        self.add_for(name, given, dataclasses.replace(dedup, id=dedup_id), key)

    @rule(tree=trees, key=keys)
    def add_flow(self, tree: dict[str, Any], key: str | None) -> None:
        self.fit_tree(tree)
        root = dataclasses.replace(node(tree), key=key)
        added = self.flows.add(root, connection=self.connection)
        standing = self.books.keyed(tree["queue"], key)
        if standing is None:
            self.enter_flow(added, tree, None)
            self.books.jobs[added.job.id].key = key
        else:
            assert added.job.id == standing.id
            self.books.tell(standing, "duplicated")

    def fit_tree(self, tree: dict[str, Any]) -> None:
        tree["options"] = self.fit(tree["queue"], tree["options"])
        for below in tree["below"]:
            self.fit_tree(below)

    def enter_flow(self, added: FlowJob, tree: Any, parent: int | None) -> None:
        one = self.entered(added.job.id, tree["queue"], tree["options"], parent=parent)
        one.state = str(added.job.state)
        self.books.add(one, tree["policy"])
        for child, below in zip(added.children, tree["below"], strict=True):
            self.enter_flow(child, below, one.id)
        one.flow = bool(tree["below"])

    @rule(which=which, name=queues, policy=policies, given=options)
    def add_child(self, which: int, name: str, policy: Any, given: Any) -> None:
        parent = self.pick(which, *STATES)
        if parent is None:
            return
        given = self.fit(name, given)
        place = (parent.queue, parent.id)
        child = {"parent": place, "on_child_failure": policy}
        try:
            # In a savepoint: what is refused must not spoil a transaction that is open.
            with self.connection.transaction():
                job = self.queues[name].add(
                    "n", connection=self.connection, **child, **given
                )
        except JobError:
            assert parent.state in FINISHED
            return
        assert parent.state not in FINISHED
        new = self.entered(job.id, name, given, parent=parent.id)
        self.books.add(new, policy)
