"""Rules of transactions: steps may stand in one that is rolled back."""

from __future__ import annotations

import copy

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from model.table import Table


class Committing(Table):
    """Opens and closes transactions."""

    @precondition(lambda self: self.saved is None)
    @rule()
    def open_transaction(self) -> None:
        self.connection.execute("BEGIN")
        kept = (copy.deepcopy(self.books), list(self.lost))
        ids = {name: player.id for name, player in self.players.items()}
        self.saved = (*kept, list(self.held), ids)

    @precondition(lambda self: self.saved is not None)
    @rule(commits=st.booleans())
    def close_transaction(self, commits: bool) -> None:
        self.connection.execute("COMMIT" if commits else "ROLLBACK")
        if not commits:
            self.books, self.lost, self.held, ids = self.saved
            for name, player in self.players.items():
                player.id = ids[name]
        self.saved = None
