"""`pgqueue job …`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from claims import HandWorker
from pgqueue import FlowNode, FlowProducer, KeepJobs, Queue, Worker
from pgqueue.ops import queues

if TYPE_CHECKING:
    from cli.conftest import Cli
    from conftest import Sql


def test_add_takes_every_option(cli: Cli, queue: Queue) -> None:
    options = (
        "--delay 2h --priority 3 --attempts 4 --backoff 500ms --timeout 5m --key k"
    )
    added = cli(
        "job", "add", "paint", "x", '{"a": [1]}', *options.split(), "--json"
    ).json
    job = queue.get(added["id"])
    assert added == job.to_dict()
    assert (job.data, job.state, job.priority) == ({"a": [1]}, "delayed", 3)
    assert (job.attempts, job.timeout, job.key) == (4, 300.0, "k")
    assert job.backoff
    assert job.backoff.delay == 0.5
    assert job.run_at
    assert (job.run_at - job.created_at).total_seconds() == pytest.approx(7200)


def test_add_takes_what_the_job_model_added(cli: Cli, queue: Queue) -> None:
    options = "--expires 1h --dedup one --dedup-ttl 5m --backoff mine --keep-logs 3"
    more = "--header trace=00-1 --tag red --tag blue"
    call = ("job", "add", "paint", "x", *options.split(), *more.split(), "--json")
    added = cli(*call).json
    job = queue.get(added["id"])
    assert added == job.to_dict()
    assert (job.backoff, job.tags) == ("mine", ("red", "blue"))
    assert job.headers == {"trace": "00-1"}
    assert cli(*call).json["id"] == job.id
    for alone in (["--dedup-ttl", "5m"], ["--dedup-extend"], ["--dedup-keep-last"]):
        assert "--dedup ID" in cli("job", "add", "paint", "x", *alone).complaint


def test_add_takes_groups_and_what_is_kept(cli: Cli, queue: Queue, sql: Sql) -> None:
    kept = "--remove-on-complete age=1h,count=5 --remove-on-fail none --stack-limit 2"
    call = ("job", "add", "paint", "x", "--group", "tenant-7", *kept.split(), "--json")
    job = queue.get(cli(*call).json["id"])
    assert job.group == "tenant-7"
    assert job.remove_on_complete == KeepJobs(age=3600, count=5)
    assert job.remove_on_fail == KeepJobs()
    assert sql.value("SELECT options ->> 'stack_limit' FROM pgqueue.job") == "2"
    large = ("job", "add", "paint", "x", '"four"', "--size-limit", "5")
    assert "over the limit of 5" in cli(*large).complaint


def test_add_debounces_and_keeps_the_last(cli: Cli, queue: Queue, sql: Sql) -> None:
    one = [
        "job",
        "add",
        "paint",
        "x",
        "1",
        "--delay",
        "1h",
        "--dedup",
        "one",
        "--dedup-ttl",
        "1m",
    ]
    one += ["--dedup-replace", "--dedup-extend"]
    cli(*one)
    until = sql.value("SELECT expires_at FROM pgqueue.dedup")
    cli(*one)
    assert sql.value("SELECT expires_at FROM pgqueue.dedup") > until
    assert queue.count() == 1
    worker = HandWorker(queue._settings.dsn or "")
    last = ["job", "add", "paint", "x", "2", "--dedup", "two", "--dedup-keep-last"]
    cli(*last)
    worker.claim()
    cli(*last)
    worker.close()
    assert sql.value(
        "SELECT next IS NOT NULL FROM pgqueue.dedup WHERE dedup_id = 'two'"
    )


def test_add_says_the_id_and_the_state(cli: Cli) -> None:
    assert cli("job", "add", "paint", "x").out == "job 1 in queue paint is waiting\n"


def test_add_with_a_key_that_is_taken_names_the_job_that_has_it(cli: Cli) -> None:
    first = cli("job", "add", "paint", "x", "--key", "k").out
    assert cli("job", "add", "paint", "x", "--key", "k").out == first


def test_add_takes_an_instant_with_a_zone(cli: Cli, queue: Queue) -> None:
    at = "2030-01-01T00:00:00+00:00"
    added = cli("job", "add", "paint", "x", "--run-at", at, "--json").json
    assert added["run_at"] == at
    refused = cli("job", "add", "paint", "x", "--run-at", "2030-01-01").complaint
    assert "has no zone" in refused


def test_add_reads_data_from_stdin(cli: Cli, queue: Queue) -> None:
    cli("job", "add", "paint", "x", "-", stdin='"from stdin"')
    assert queue.get(1).data == "from stdin"


def test_lifo_goes_first(cli: Cli, queue: Queue) -> None:
    cli("job", "add", "paint", "x")
    cli("job", "add", "paint", "y", "--lifo")
    assert [job.name for job in queue.jobs("waiting")] == ["y", "x"]


def test_ls_goes_on_at_the_cursor_that_it_told(cli: Cli, queue: Queue) -> None:
    for number in range(3):
        queue.add(f"job {number}")
    first = cli("job", "ls", "paint", "--limit", "2", "--json")
    assert [job["name"] for job in first.json] == ["job 0", "job 1"]
    more = first.err.removeprefix("more: ").split()
    second = cli("job", "ls", "paint", *more, "--json")
    assert [job["name"] for job in second.json] == ["job 2"]
    assert second.err == ""


def test_ls_lists_the_states_asked_for(cli: Cli, queue: Queue) -> None:
    queue.add("now", priority=5)
    queue.add("later", {"n": 1}, delay=60)
    (job,) = cli("job", "ls", "paint", "--state", "delayed", "--json").json
    assert job["name"] == "later"
    lines = cli("job", "ls", "paint").out.splitlines()
    assert lines[0].split() == ["id", "state", "name", "runs", "when", "data"]
    assert lines[1].split()[:3] == ["1", "priority", "5"]
    assert lines[2].rstrip().endswith('{"n": 1}')
    assert cli("job", "ls", "paint", "--state", "failed").out == "no jobs\n"


def test_show_has_every_field(cli: Cli, queue: Queue) -> None:
    job = queue.add("x", {"long": "y" * 80})
    assert cli("job", "show", "paint", "1", "--json").json == job.to_dict()
    shown = cli("job", "show", "paint", "1").out
    assert "attempt  0 of 1" in shown
    assert '"long": "yyy' in shown


def test_show_names_the_parent_and_the_children(
    cli: Cli, queue: Queue, dsn: str
) -> None:
    children = [FlowNode("page", queue="pages") for _ in range(2)]
    with FlowProducer(dsn=dsn) as flows:
        flows.add(FlowNode("report", queue="paint", children=children))
    shown = cli("job", "show", "paint", "1").out
    assert "2 page in pages: waiting" in shown
    assert "3 page in pages: waiting" in shown
    assert "parent   1" in cli("job", "show", "pages", "2").out
    below = cli("job", "show", "paint", "1", "--json").json["children"]
    assert [child["id"] for child in below] == [2, 3]


def test_show_has_the_failed_attempts_with_their_tracebacks(
    cli: Cli, queue: Queue, dsn: str
) -> None:
    queue.add("x", {}, attempts=7)
    Worker("paint", lambda job: job.data["n"], dsn=dsn).run(drain=True)
    shown = cli("job", "show", "paint", "1").out
    assert any(
        line.split() == ["error", "KeyError:", "'n'"] for line in shown.splitlines()
    )
    assert "2 earlier attempts: --json has them" in shown
    assert shown.count("Traceback (most recent call last):") == 5
    assert "failed 7" in shown
    assert "failed 2" not in shown
    found = cli("job", "show", "paint", "1", "--json").json["failed_attempts"]
    assert [one["attempt"] for one in found] == [1, 2, 3, 4, 5, 6, 7]
    assert {one["error"] for one in found} == {"KeyError: 'n'"}
    assert all("test_job_commands.py" in one["stack"] for one in found)


def test_retry_puts_a_finished_job_back(cli: Cli, queue: Queue, dsn: str) -> None:
    from pgqueue import Worker  # noqa: PLC0415

    def fail(_job: object) -> None:
        raise ValueError("on purpose")

    queue.add("x")
    Worker("paint", fail, dsn=dsn).run(drain=True)
    assert "on purpose" in cli("job", "ls", "paint", "--state", "failed").out
    assert "on purpose" in cli("job", "show", "paint", "1").out
    assert cli("job", "retry", "paint", "1").out == "job 1 in queue paint is waiting\n"
    assert queue.counts().waiting == 1
    assert "only completed or failed" in cli("job", "retry", "paint", "1").complaint


def test_rm_removes(cli: Cli, queue: Queue) -> None:
    queue.add("x")
    assert "--yes" in cli("job", "rm", "paint", "1").complaint
    assert cli("job", "rm", "paint", "1", "--yes").out == "job 1 is removed\n"
    assert queue.count() == 0


@pytest.mark.parametrize(
    "command",
    [
        *(["show"], ["logs"], ["retry"], ["promote"], ["cancel"]),
        *(["rm", "--yes"], ["change", "--delay", "1s"]),
    ],
)
def test_a_job_or_a_queue_that_does_not_exist_is_a_mistake(
    cli: Cli, queue: Queue, command: list[str]
) -> None:
    queue.add("x")
    result = cli("job", *command, "paint", "99")
    assert result.complaint == "queue 'paint' has no job 99"
    result = cli("job", *command, "piant", "99")
    assert result.complaint == "there is no queue 'piant'; see: pgqueue queue ls"


def test_a_job_is_looked_up_without_counting_any_queue(
    cli: Cli, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = queue.add("x")
    monkeypatch.delattr("pgqueue.ops.queues.counts")
    assert cli("job", "show", "paint", str(job.id)).code == 0
    assert cli("job", "ls", "paint").code == 0


def test_one_queue_is_shown_without_counting_the_others(
    cli: Cli, queue: Queue, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.add("x")
    with Queue("other", dsn=dsn) as other:
        other.add("x")
    counts, counted = queues.counts, []

    def listening(name: str) -> Any:
        counted.append(name)
        return counts(name)

    monkeypatch.setattr(queues, "counts", listening)
    assert cli("queue", "show", "paint", "--json").json["waiting"] == 1
    assert counted == ["paint"]


def test_nothing_in_a_job_can_command_the_terminal(cli: Cli, queue: Queue) -> None:
    evil = "\x1b]0;title\x07\x9b31m\r\u202e"
    queue.add(evil, {evil: evil}, key=evil)
    shown = cli("job", "ls", "paint"), cli("job", "show", "paint", "1")
    raw = cli("job", "show", "paint", "1", "--json")
    for result in (*shown, raw):
        assert all(c == "\n" or c.isprintable() for c in result.out)
    assert r"\x1b]0;title\x07\x9b31m\r\u202e" in shown[0].out
    assert raw.json["name"] == evil
    cli("job", "add", evil, "x")
    assert all(c == "\n" or c.isprintable() for c in cli("queue", "ls").out)


def test_promote_one_and_all(cli: Cli, queue: Queue) -> None:
    for _ in range(3):
        queue.add("x", delay=3600)
    assert (
        cli("job", "promote", "paint", "2").out == "job 2 in queue paint is waiting\n"
    )
    assert cli("job", "promote", "paint", "--all").out == (
        "promoted 2 jobs of queue paint\n"
    )
    assert "--all" in cli("job", "promote", "paint").complaint


def test_retry_all_says_how_many(cli: Cli, queue: Queue) -> None:
    queue.add("x")
    assert cli("job", "retry", "paint", "--all").out == (
        "put 0 jobs of queue paint back to waiting\n"
    )
    assert "--all" in cli("job", "retry", "paint").complaint


def test_retry_all_takes_some_of_those_that_failed(
    cli: Cli, queue: Queue, dsn: str, sql: Sql
) -> None:
    ids = [queue.add(name).id for name in "abab"]
    worker = HandWorker(dsn)
    worker.fail(worker.claim(4))
    worker.close()
    age = "UPDATE pgqueue.finished SET finished_at = finished_at - interval '1 day'"
    sql.run(f"{age} WHERE job_id = %s", [ids[1]])
    before = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    every = ("job", "retry", "paint", "--all", "--json")
    assert cli(*every, "--name", "a", "--before", before).json == {"retried": 0}
    assert cli(*every, "--before", before).json == {"retried": 1}
    assert cli(*every, "--name", "a", "--limit", "1").json == {"retried": 1}
    assert [job.id for job in queue.jobs("waiting")] == [ids[1], ids[0]]
    assert queue.get(ids[0]).attempt == 1
    assert cli(*every, "--reset-attempts").json == {"retried": 2}
    assert queue.get(ids[3]).attempt == 0
    assert "--all" in cli("job", "retry", "paint", "1", "--name", "a").complaint


def test_logs_go_on_where_they_ended(cli: Cli, queue: Queue) -> None:
    job = queue.add("x")
    for n in range(3):
        queue.log(job.id, f"line {n}")
    first = cli("job", "logs", "paint", "1", "--limit", "2", "--json").json
    assert [line["line"] for line in first] == ["line 0", "line 1"]
    rest = cli("job", "logs", "paint", "1", "--after", str(first[-1]["id"])).out
    assert "line 2" in rest
    assert "line 1" not in rest


def test_cancel_says_what_became_of_it(cli: Cli, queue: Queue) -> None:
    queue.add("x")
    assert cli("job", "cancel", "paint", "1").out == "job 1 in queue paint is failed\n"
    assert queue.get(1).error == "cancelled"


def test_ls_names_its_last_column_for_what_is_in_it(
    cli: Cli, queue: Queue, dsn: str
) -> None:
    queue.add("x", {})
    Worker("paint", lambda job: job.data["n"], dsn=dsn).run(drain=True)
    head, line = cli("job", "ls", "paint").out.splitlines()
    assert head.split()[-3:] == ["error", "or", "data"]
    assert line.endswith("KeyError: 'n'")
