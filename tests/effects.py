"""What handlers write into a table of the application's, beside pgqueue's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Sql

WRITE = "INSERT INTO public.effect (job) VALUES (%s)"


def write(job_id: int) -> str:
    """Return the statement that notes a run of a job."""
    return f"INSERT INTO public.effect (job) VALUES ({job_id})"


class Effects:
    """The table; one row a run whose writes were committed."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        sql.run("DROP TABLE IF EXISTS public.effect, public.guard")
        sql.run("CREATE TABLE public.effect (job bigint, at timestamptz DEFAULT now())")

    def of(self, job_id: int) -> int:
        """Return how often a job's writes were committed."""
        query = "SELECT count(*) FROM public.effect WHERE job = %s"
        return int(self._sql.value(query, [job_id]))

    def counts(self) -> dict[int, int]:
        """Return the same for all jobs that wrote anything."""
        rows = self._sql.all("SELECT job, count(*) FROM public.effect GROUP BY job")
        return {row[0]: row[1] for row in rows}

    def refuse_at_commit(self) -> None:
        """Let every commit of such a row fail."""
        self._sql.run("CREATE TABLE public.guard (job bigint PRIMARY KEY)")
        self._sql.run(
            "ALTER TABLE public.effect ADD FOREIGN KEY (job)"
            " REFERENCES public.guard DEFERRABLE INITIALLY DEFERRED"
        )
