"""`pgqueue job search`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.conftest import Cli
    from pgqueue import Queue


def test_jobs_are_found_by_all_their_terms_page_by_page(cli: Cli, queue: Queue) -> None:
    ids = [queue.add("welcome", {"user": {"id": n % 2}}).id for n in range(6)]
    queue.add("bye", {"user": {"id": 1}})
    terms = (
        "job",
        "search",
        "paint",
        "name:welcome",
        "data.user.id:1",
        "state:waiting",
    )
    first = cli(*terms, "--limit", "2", "--json")
    assert [job["id"] for job in first.json] == [ids[5], ids[3]]
    more = first.err.removeprefix("more: ").split()
    rest = cli(*terms, *more, "--json")
    assert [job["id"] for job in rest.json] == [ids[1]]
    assert rest.err == ""
    head, line = cli(*terms[:4], "data.user.id:0", "--limit", "1").out.splitlines()
    assert head.split()[:3] == ["id", "state", "name"]
    assert line.split()[:3] == [str(ids[4]), "waiting", "welcome"]


def test_what_finds_nothing_or_cannot_be_read_says_so(cli: Cli, queue: Queue) -> None:
    queue.add("welcome")
    assert cli("job", "search", "paint", "tag:none").out == "no jobs\n"
    assert cli("job", "search", "paint", "tag:none", "--json").json == []
    assert "query" in cli("job", "search", "paint", "welcome").complaint
    assert "no queue 'piant'" in cli("job", "search", "piant", "tag:none").complaint
