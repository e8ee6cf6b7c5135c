"""What SQL may rely on: `pgqueue.add`, `pgqueue.add_jobs`, the view `pgqueue.jobs`."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from claims import HandWorker
from invariants import assert_consistent
from pgqueue import Backoff, KeepJobs, Queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Sql


@pytest.fixture
def queue(dsn: str) -> Iterator[Queue]:
    with Queue("paint", dsn=dsn) as made:
        yield made


@pytest.fixture
def worker(dsn: str) -> Iterator[HandWorker]:
    made = HandWorker(dsn)
    yield made
    made.close()


def test_add_takes_a_queue_and_a_name(queue: Queue, sql: Sql) -> None:
    job = queue.get(sql.value("SELECT pgqueue.add('paint', 'n')"))
    assert (job.name, job.data, job.attempts, job.state) == ("n", None, 1, "waiting")
    assert_consistent(sql)


def test_add_takes_every_option_by_name(queue: Queue, sql: Sql) -> None:
    job_id = sql.value("""
        SELECT pgqueue.add(
            queue => 'paint', name => 'n', data => '{"color": "blue"}',
            delay => interval '5 minutes', priority => 3, lifo => true, attempts => 4,
            backoff => '{"type": "exponential", "delay": 1, "max": 60, "jitter": 0.5}',
            timeout => interval '90 seconds', key => 'k',
            remove_on_complete => '{"age": 3600, "count": 5}', remove_on_fail => 'true'
        )""")
    job = queue.get(job_id)
    assert job.data == {"color": "blue"}
    assert job.run_at == job.created_at + timedelta(minutes=5)
    assert (job.priority, job.attempts, job.timeout, job.key) == (3, 4, 90.0, "k")
    assert job.backoff == Backoff.exponential(1, max=60, jitter=0.5)
    assert job.remove_on_complete == KeepJobs(age=3600.0, count=5)
    assert job.remove_on_fail is True
    assert_consistent(sql)


def test_add_takes_what_the_job_model_added(queue: Queue, sql: Sql) -> None:
    call = """
        SELECT pgqueue.add('paint', 'n', '{"a": null}', backoff => '"mine"',
            dedup => '{"id": "one"}', expires => interval '1 hour',
            headers => '{"trace": "00-1"}', tags => ARRAY['red', 'blue'],
            keep_logs => 5)"""
    job = queue.get(sql.value(call))
    assert (job.data, job.backoff) == ({"a": None}, "mine")
    assert job.expires == job.created_at + timedelta(hours=1)
    assert (job.headers, job.tags) == ({"trace": "00-1"}, ("red", "blue"))
    assert sql.value(call) == job.id
    assert_consistent(sql)


def test_lifo_works_from_sql(queue: Queue, sql: Sql) -> None:
    first = sql.value("SELECT pgqueue.add('paint', 'n')")
    last = sql.value("SELECT pgqueue.add('paint', 'n', lifo => true)")
    assert [job.id for job in queue.jobs()] == [last, first]


def test_add_returns_the_job_that_has_the_key(sql: Sql) -> None:
    ids = {sql.value("SELECT pgqueue.add('paint', 'n', key => 'k')") for _ in range(3)}
    assert len(ids) == 1


def test_data_is_kept_number_for_number(queue: Queue, sql: Sql) -> None:
    text = '{"b": 1.10, "a": -0.0, "big": 123456789012345678901234567890, "b": 2}'
    job_id = sql.value("SELECT pgqueue.add('paint', 'n', %s)", [text])
    stored = sql.value("SELECT data::text FROM pgqueue.job WHERE id = %s", [job_id])
    assert stored == text
    assert queue.get(job_id).data["big"] == 123456789012345678901234567890


LONG = "repeat('k', 256)"
REFUSED = {
    "'', 'n'": "queue => '' is not allowed",
    f"{LONG}, 'n'": "queue => 'kkk",
    "NULL, 'n'": "queue => NULL is not allowed",
    "'paint', ''": "name => '' is not allowed",
    f"'paint', {LONG}": "name => 'kkk",
    "'paint', NULL": "name => NULL is not allowed",
    "'paint', 'n', priority => -1": "priority => '-1' is not allowed",
    "'paint', 'n', priority => 2097152": "priority => '2097152' is not allowed",
    "'paint', 'n', attempts => 0": "attempts => '0' is not allowed",
    "'paint', 'n', key => ''": "key => '' is not allowed",
    f"'paint', 'n', key => {LONG}": "key => 'kkk",
    "'paint', 'n', \"group\" => ''": "group => '' is not allowed",
    f"'paint', 'n', \"group\" => {LONG}": "group => 'kkk",
    "'paint', 'n', delay => '-1 hour'": "delay => '-01:00:00' is not allowed",
    "'paint', 'n', delay => '9000 years'": "delay => '9000 years' is not allowed",
    "'paint', 'n', delay => '1 s', run_at => now()": "delay => '00:00:01' is not",
    "'paint', 'n', run_at => 'infinity'": "run_at => 'infinity' is not allowed",
    "'paint', 'n', run_at => '12000-01-01'": "run_at => '12000-01-01",
    "'paint', 'n', '{\"a\": \"\\u0000\"}'": "data => E?'.* is not allowed",
    "'paint', 'n', '\"\\ud800\"'": "data => E?'.* is not allowed",
    "'paint', 'n', parent_queue => 'q'": "parent_queue => 'q' is not allowed",
    "'paint', 'n', on_child_failure => 'fail'": "on_child_failure => 'fail' is not",
    "'paint', 'n', parent => 1, on_child_failure => 'cry'": "on_child_failure => 'cry'",
    "'paint', 'n', parent => 1, dedup => '{\"id\": \"d\"}'": "dedup => '{",
}


@pytest.mark.parametrize("call", REFUSED)
def test_a_value_that_is_not_allowed_is_named_with_what_is(sql: Sql, call: str) -> None:
    with pytest.raises(psycopg.Error, match=REFUSED[call]) as refused:
        sql.run(f"SELECT pgqueue.add({call})")
    assert refused.value.sqlstate == "22023"
    assert str(refused.value.diag.message_hint).startswith("Allowed: ")
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"name": ""}, "job_name_length"),
        ({"name": "n", "priority": 2**21}, "job_priority_range"),
        ({"name": "n", "attempts": 0}, "job_attempts_range"),
        ({"name": "n", "key": ""}, "job_key_length"),
        ({"name": "n", "run_at": "infinity"}, "delayed_run_at_range"),
    ],
)
def test_what_would_break_readers_is_refused_by_the_tables(
    sql: Sql, item: dict[str, Any], reason: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match=reason):
        sql.run("SELECT pgqueue.add_jobs('paint', %s)", [json.dumps([item])])
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0


def test_data_that_is_no_json_is_refused(sql: Sql) -> None:
    with pytest.raises(psycopg.Error, match="invalid input syntax for type json"):
        sql.run("SELECT pgqueue.add('paint', 'n', 'nonsense')")


def test_escapes_in_data_are_kept_as_they_are(queue: Queue, sql: Sql) -> None:
    data = r'{"a": "\\u0000", "b": "\u00e9\ud83d\udc69"}'
    job_id = sql.value("SELECT pgqueue.add('paint', 'n', %s)", [data])
    assert queue.get(job_id).data == {"a": "\\u0000", "b": "é👩"}


@pytest.mark.parametrize(
    "when", ["delay => '0'", "run_at => now()", "run_at => '-infinity'"]
)
def test_a_time_that_is_over_means_now(queue: Queue, sql: Sql, when: str) -> None:
    job_id = sql.value(f"SELECT pgqueue.add('paint', 'n', {when})")
    assert queue.get(job_id).state == "waiting"


def test_a_child_is_added_to_a_parent_that_runs_or_waits(
    queue: Queue, worker: HandWorker, dsn: str, sql: Sql
) -> None:
    parent = sql.value("SELECT pgqueue.add('paint', 'report')")
    claimed = worker.claim()
    page = sql.value("SELECT pgqueue.add('paint', 'page', parent => %s)", [parent])
    assert queue.get(page).parent_id == parent
    worker.finish(claimed, "waiting_children")
    assert queue.get(parent).state == "waiting_children"
    other = sql.value(
        "SELECT pgqueue.add('pages', 'page', parent => %s, parent_queue => 'paint',"
        " on_child_failure => 'ignore')",
        [parent],
    )
    worker.finish(worker.claim())
    assert queue.get(parent).state == "waiting_children"
    elsewhere = HandWorker(dsn, "pages")
    elsewhere.fail(elsewhere.claim())
    elsewhere.close()
    assert queue.get(parent).state == "waiting"
    with Queue("pages", dsn=dsn) as pages:
        assert pages.get(other).state == "failed"
    assert_consistent(sql)


def test_a_parent_that_is_not_there_or_over_takes_no_child(
    worker: HandWorker, sql: Sql
) -> None:
    call = "SELECT pgqueue.add('paint', 'page', parent => %s)"
    with pytest.raises(psycopg.Error, match="parent job 99 does not exist"):
        sql.run(call, [99])
    parent = sql.value("SELECT pgqueue.add('paint', 'report')")
    worker.finish(worker.claim())
    with pytest.raises(psycopg.Error, match=f"parent job {parent} is completed"):
        sql.run(call, [parent])


@pytest.mark.parametrize(
    "options", ["backoff => '[1]'", "remove_on_fail => '[]'", "timeout => '-5 s'"]
)
def test_options_that_are_nonsense_do_not_break_readers(
    queue: Queue, sql: Sql, options: str
) -> None:
    job = queue.get(sql.value(f"SELECT pgqueue.add('paint', 'n', {options})"))
    assert (job.backoff, job.timeout, job.remove_on_fail) == (None, None, None)


def test_a_trigger_adds_in_the_transaction_of_its_row(queue: Queue, sql: Sql) -> None:
    sql.run("""
        CREATE TEMP TABLE orders (id int);
        CREATE FUNCTION pg_temp.ordered() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pgqueue.add('paint', 'receipt', json_build_object('order', NEW.id),
                key => 'order-' || NEW.id, attempts => 3);
            RETURN NEW;
        END $$;
        CREATE TRIGGER ordered AFTER INSERT ON orders
            FOR EACH ROW EXECUTE FUNCTION pg_temp.ordered();
    """)
    sql.run("INSERT INTO orders VALUES (1), (2)")
    sql.run("BEGIN")
    sql.run("INSERT INTO orders VALUES (3)")
    sql.run("ROLLBACK")
    assert [job.data for job in queue.jobs()] == [{"order": 1}, {"order": 2}]
    assert_consistent(sql)


def test_add_jobs_adds_many_in_order_and_tells_what_was_there(
    queue: Queue, sql: Sql
) -> None:
    jobs = [
        {"name": "a"},
        {"name": "b", "data": [1], "delay": 60, "key": "k"},
        {"name": "c", "key": "k"},
        {"name": "d", "priority": 2, "lifo": True, "attempts": 5},
        {"name": "e", "run_at": "2090-01-01T00:00:00Z", "options": {"timeout": 5}},
        {"name": "f", "unknown": "is ignored"},
    ]
    call = 'SELECT * FROM pgqueue.add_jobs(%s, %s) ORDER BY "position"'
    rows = sql.all(call, ["paint", json.dumps(jobs)])
    assert [row.position for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.existing for row in rows] == [False, False, True, False, False, False]
    assert rows[1].id == rows[2].id
    assert [queue.get(row.id).name for row in rows] == ["a", "b", "b", "d", "e", "f"]
    assert queue.get(rows[4].id).timeout == 5
    assert sql.all(call, ["paint", "[]"]) == []
    assert_consistent(sql)


def test_the_view_shows_every_state_with_its_columns(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    finished = [queue.add("n", [n], priority=3, attempts=2).id for n in range(2)]
    done, failed = worker.claim(2)
    worker.report(done, 99)
    worker.finish([done], result={"ok": True})
    worker.fail([failed])
    active = queue.add("n", priority=4, key="k", timeout=5).id
    worker.claim()
    waiting = queue.add("n").id
    prioritized = queue.add("n", priority=5).id
    delayed = queue.add("n", delay=60, priority=6).id
    rows = {row.id: row for row in sql.all("SELECT * FROM pgqueue.jobs")}
    assert {i: (row.state, row.priority) for i, row in rows.items()} == {
        finished[0]: ("completed", 3),
        finished[1]: ("failed", 3),
        active: ("active", 4),
        waiting: ("waiting", 0),
        prioritized: ("waiting", 5),
        delayed: ("delayed", 6),
    }
    for job_id, row in rows.items():
        job = queue.get(job_id)
        assert row._asdict() == {
            **{name: getattr(job, name) for name in row._fields if name != "options"},
            "options": {"timeout": 5.0} if job_id == active else None,
        }


def test_every_function_pins_its_search_path(sql: Sql) -> None:
    rows = sql.all(
        "SELECT proname, proconfig FROM pg_proc"
        " WHERE pronamespace = 'pgqueue'::regnamespace"
    )
    assert {row.proname for row in rows} >= {"add", "add_jobs", "queue_id", "ring"}
    for row in rows:
        assert "search_path=pg_catalog, pg_temp" in row.proconfig, row.proname


HOSTILE = """
    CREATE SCHEMA hostile;
    CREATE FUNCTION hostile.clock_timestamp() RETURNS timestamptz
        LANGUAGE sql AS $$ SELECT '1999-01-01'::timestamptz $$;
    CREATE FUNCTION hostile.nextval(regclass) RETURNS bigint
        LANGUAGE sql AS $$ SELECT 666::bigint $$;
    CREATE FUNCTION hostile.pg_notify(text, text) RETURNS void
        LANGUAGE plpgsql AS $$ BEGIN RAISE 'hostile'; END $$;
    CREATE FUNCTION hostile.strpos(text, text) RETURNS integer
        LANGUAGE plpgsql AS $$ BEGIN RAISE 'hostile'; END $$;
    CREATE FUNCTION hostile.never(text, text) RETURNS boolean
        LANGUAGE plpgsql AS $$ BEGIN RAISE 'hostile'; END $$;
    CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text,
        FUNCTION = hostile.never);
    CREATE TABLE hostile.job (id bigint);
    CREATE TEMP TABLE job (id bigint);
    CREATE TEMP TABLE queue (id integer, name text);
    CREATE TEMP TABLE ready (job_id bigint);
    SET search_path = pg_temp, hostile, public, pg_catalog;
"""


def test_a_hostile_search_path_reaches_no_function_of_ours(dsn: str, sql: Sql) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(HOSTILE)
        for call in (
            "pgqueue.add('paint', 'n')",
            "pgqueue.add('paint', 'n', key => 'k')",
            "pgqueue.add('paint', 'n', delay => '1 hour', priority => 2)",
            """pgqueue.add_jobs('paint', '[{"name": "n", "key": "k2"}]')""",
        ):
            connection.execute(f"SELECT {call}")
        connection.execute("RESET search_path")
        connection.execute("DROP SCHEMA hostile CASCADE")
        connection.commit()
    ids = [row.id for row in sql.all("SELECT id FROM pgqueue.job ORDER BY id")]
    assert ids == [1, 2, 3, 4]
    fresh = "SELECT count(*) FROM pgqueue.job WHERE created_at > now() - interval '1h'"
    assert sql.value(fresh) == 4
    assert_consistent(sql)


HARD = [
    "n" * 200,
    "o'brien",
    '"q"',
    "50%",
    "%s%(x)s",
    "back\\slash",
    "👩‍👩‍👧",
    "a\nb",
    "$$",
]


@pytest.mark.parametrize("name", HARD)
def test_hard_names_work_from_sql(dsn: str, sql: Sql, name: str) -> None:
    job_id: Any = sql.value("SELECT pgqueue.add(%s, %s, key => %s)", [name] * 3)
    with Queue(name, dsn=dsn) as queue:
        job = queue.get(job_id)
        assert (job.queue, job.name, job.key) == (name, name, name)
    row = sql.one("SELECT queue, name FROM pgqueue.jobs WHERE queue = %s", [name])
    assert row == (name, name)
