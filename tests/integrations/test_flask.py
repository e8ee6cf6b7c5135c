"""`pgqueue.flask` with an app factory and Flask-SQLAlchemy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import make_url, text
from sqlalchemy.pool import NullPool

from pgqueue import FlowNode, NewJob, Queue
from pgqueue.errors import ConfigError
from pgqueue.flask import PgQueue
from pgqueue.flask.config import find_dsn
from pgqueue.testing import travel
from pgqueue.testing.guarding import only

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Sql

ROOT = Path(__file__).parents[2]
db = SQLAlchemy(engine_options={"poolclass": NullPool})
JOBS = "SELECT count(*) FROM pgqueue.jobs"


def make_app(dsn: str, *extensions: Any, **config: Any) -> Flask:
    made = Flask("shop")
    made.config["SQLALCHEMY_DATABASE_URI"] = dsn.replace("://", "+psycopg://", 1)
    made.config.update(config)
    for each in extensions:
        each.init_app(made)
    return made


@pytest.fixture
def jobs() -> PgQueue:
    return PgQueue(session=db.session)


@pytest.fixture
def app(dsn: str, jobs: PgQueue) -> Iterator[Flask]:
    made = make_app(dsn, db, jobs)
    yield made
    with made.app_context():
        jobs.queue("mail").close()


def test_a_job_commits_with_the_session(app: Flask, jobs: PgQueue, sql: Sql) -> None:
    mail = jobs.queue("mail")
    with app.app_context():
        job = mail.add("receipt", {"order": 1})
        assert sql.value(JOBS) == 0
        assert mail.get(job.id).data == {"order": 1}
        db.session.commit()
    assert sql.value(JOBS) == 1


def test_a_rollback_of_the_session_takes_the_job(
    app: Flask, jobs: PgQueue, sql: Sql
) -> None:
    mail = jobs.queue("mail")
    with app.app_context():
        mail.add("receipt")
        mail.add_bulk(NewJob("receipt", n) for n in range(2000))
        db.session.rollback()
        mail.add("receipt")
    assert sql.value(JOBS) == 0, "the end of the context rolled the last one back"


def test_a_flow_is_part_of_the_session_too(app: Flask, jobs: PgQueue, sql: Sql) -> None:
    flows = jobs.flows()
    tree = FlowNode("ship", queue="mail", children=[FlowNode("pick", queue="stock")])
    with app.app_context():
        flows.add(tree)
        db.session.rollback()
        added = flows.add(tree)
        assert sql.value(JOBS) == 0
        db.session.commit()
        assert flows.get("mail", added.job.id).children
        flows.close()
    assert sql.value(JOBS) == 2


def test_a_savepoint_of_the_session_takes_only_its_own(
    app: Flask, jobs: PgQueue, sql: Sql
) -> None:
    mail = jobs.queue("mail")
    with app.app_context():
        mail.add("kept")
        savepoint = db.session.begin_nested()
        mail.add("gone")
        savepoint.rollback()
        db.session.commit()
    assert [job.name for job in sql.all("SELECT name FROM pgqueue.jobs")] == ["kept"]


def test_adding_flushes_nothing_and_opens_no_other_connection(
    app: Flask, jobs: PgQueue
) -> None:
    with app.app_context():
        mine = db.session.execute(text("SELECT pg_backend_pid()")).scalar()
        job = jobs.queue("mail").add("receipt")
        where = text("SELECT xmin = pg_current_xact_id()::xid FROM pgqueue.job")
        assert db.session.execute(where).scalar() is True, "of this transaction"
        assert mine == db.session.execute(text("SELECT pg_backend_pid()")).scalar()
        assert job.id == 1


def test_a_queue_without_a_session_commits_at_once(dsn: str, sql: Sql) -> None:
    jobs = PgQueue()
    app = make_app(dsn, jobs, PGQUEUE_DSN=dsn, SQLALCHEMY_DATABASE_URI="postgresql://x")
    with app.app_context(), jobs.queue("mail") as mail:
        mail.add("receipt")
        assert sql.value(JOBS) == 1


def test_helpers_refuse_a_session_that_is_not_in_the_tests_database(
    app: Flask, jobs: PgQueue, dsn: str, fresh_database: str
) -> None:
    mail = jobs.queue("mail")
    with app.app_context():
        with only(fresh_database), pytest.raises(ConfigError, match="the session is"):
            travel(days=1, queue=mail)
        with only(dsn):
            travel(days=1, queue=mail)


def test_each_app_has_its_own_database(dsn: str, fresh_database: str) -> None:
    jobs = PgQueue()
    mail = jobs.queue("mail")
    first, second = make_app(dsn, jobs), make_app(fresh_database, jobs)
    with first.app_context():
        one = mail._settings.dsn
    with second.app_context():
        two = mail._settings.dsn
    assert (one, two) == (dsn, fresh_database)


def test_the_configuration_of_an_app_wins_over_the_environment(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = PgQueue(session=db.session)
    mail = jobs.queue("mail")
    jobs.handler("mail", "receipt")(lambda job: job.data + 1)
    app = make_app(fresh_database, db, jobs, PGQUEUE_SCHEMA="errands")
    monkeypatch.setenv("PGQUEUE_SCHEMA", "elsewhere")
    run = app.test_cli_runner().invoke
    assert run(args=["pgqueue", "migrate"]).exit_code == 0
    with app.app_context():
        job = mail.add("receipt", 16)
        jobs.flows().add(FlowNode("receipt", 1, queue="mail"))
        db.session.commit()
        jobs.worker(app).run(drain=True)
        assert mail.get(job.id).result == 17
        assert run(args=["pgqueue", "worker", "--drain"]).exit_code == 0
        mail.close()
    with psycopg.connect(fresh_database) as connection:
        found = connection.execute("SELECT state FROM errands.jobs").fetchall()
    assert found == [("completed",)] * 2


def test_a_url_of_sqlalchemys_keeps_its_password() -> None:
    """As text it shows three stars."""
    app = make_app("")
    app.config["SQLALCHEMY_DATABASE_URI"] = make_url(
        "postgresql+psycopg://me:secret@db/shop"
    )
    assert find_dsn(app) == "postgresql://me:secret@db/shop"


def test_a_wrong_value_of_the_configuration_is_named(dsn: str) -> None:
    jobs = PgQueue()
    app = make_app(dsn, jobs, PGQUEUE_LISTEN="of")
    with app.app_context(), pytest.raises(ConfigError, match="PGQUEUE_LISTEN='of'"):
        jobs.queue("mail").add("receipt")
    refused = app.test_cli_runner().invoke(args=["pgqueue", "queue", "ls"])
    assert refused.exit_code == 2
    assert "PGQUEUE_LISTEN='of'" in refused.stderr


APP = """
import os
from flask import Flask, current_app
from pgqueue import current_job
from pgqueue.flask import PgQueue

jobs = PgQueue()
parent = os.environ.get("SERVED_BY")
os.environ["SERVED_BY"] = str(os.getpid())

def run(job):
    return [current_app.name, parent is not None, job.data]

async def arun(job):
    return run(job)

jobs.handler("mail", "receipt")(run)
jobs.handler("mail", "async receipt")(arun)

def create_app():
    app = Flask("shop")
    jobs.init_app(app)
    return app
"""


def serve(folder: Path, dsn: str, *arguments: str) -> str:
    """Run `flask` on the app as a person does, in a process of its own."""
    (folder / "shop.py").write_text(APP)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FLASK_")}
    done = subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=folder,
        env={**kept, "PGQUEUE_DSN": dsn, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("how", ["shop", "shop:create_app()"])
def test_a_job_runs_in_a_process_that_makes_the_app_anew(
    dsn: str, tmp_path: Path, how: str
) -> None:
    names = ("receipt", "async receipt")
    with Queue("mail", dsn=dsn) as mail:
        added = [mail.add(name, name) for name in names]
        apart = ("--isolation", "process", "--drain")
        serve(tmp_path, dsn, "--app", how, "pgqueue", "worker", *apart)
        found = [mail.get(job.id).result for job in added]
    assert found == [["shop", True, name] for name in names]


def test_a_job_that_lost_its_worker_runs_apart(
    dsn: str, sql: Sql, tmp_path: Path
) -> None:
    with Queue("mail", dsn=dsn) as mail:
        usual, lost = mail.add("receipt"), mail.add("receipt")
        sql.run("UPDATE pgqueue.ready SET stalled = 1 WHERE job_id = %s", [lost.id])
        serve(tmp_path, dsn, "--app", "shop", "pgqueue", "worker", "--drain")
        found = [mail.get(job.id).result for job in (usual, lost)]
    assert found == [["shop", False, None], ["shop", True, None]]


def test_a_worker_that_flask_did_not_start_says_how_to_isolate_its_jobs(
    app: Flask, jobs: PgQueue
) -> None:
    jobs.handler("mail", "receipt")(print)
    worker = jobs.worker(app, isolation="process")
    with pytest.raises(ConfigError, match=r"run the worker by `flask --app"):
        worker.run(drain=True)


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_handler_runs_in_a_context_of_the_app_and_its_session(
    app: Flask, jobs: PgQueue, sql: Sql, kind: str
) -> None:
    sql.run("CREATE TABLE receipts (n int)")
    contexts = []

    def write(job: Any) -> str:
        contexts.append(id(current_app._get_current_object()))
        db.session.execute(text("INSERT INTO receipts VALUES (:n)"), {"n": job.data})
        if job.data == 1:
            db.session.commit()
        return current_app.name

    async def awrite(job: Any) -> str:
        return write(job)

    jobs.handler("mail", "receipt")(write if kind == "def" else awrite)
    try:
        with app.app_context():
            jobs.queue("mail").add("receipt", 1)
            jobs.queue("mail").add("receipt", 2)
            db.session.commit()
        jobs.worker(app, concurrency=1).run(drain=True)
        rows = sql.all("SELECT n FROM receipts")
        assert [row.n for row in rows] == [1], "what was not committed is gone"
        assert set(contexts) == {id(app)}
        assert (
            sql.value(
                "SELECT count(*) FROM pgqueue.jobs WHERE result #>> '{}' = 'shop'"
            )
            == 2
        )
    finally:
        sql.run("DROP TABLE receipts")


def test_what_the_extension_takes_is_said_where_it_is_made(jobs: PgQueue) -> None:
    for wrong in (db, db.session, "shop"):
        with pytest.raises(ConfigError, match=r"by name: session=db\.session"):
            PgQueue(wrong)
        with pytest.raises(ConfigError, match="a Flask app"):
            jobs.init_app(wrong)
    with pytest.raises(ConfigError, match=r"a session such as db\.session"):
        PgQueue(session=db)


def test_mistakes_are_said_before_anything_runs(app: Flask, jobs: PgQueue) -> None:
    with pytest.raises(ConfigError, match="has no handler"):
        jobs.worker(app)
    jobs.handler("mail", "receipt")(print)
    with pytest.raises(ConfigError, match="one handler for each name"):
        jobs.handler("mail", "receipt")
    with pytest.raises(ConfigError, match="queue name"):
        jobs.queue("")
    with app.app_context(), pytest.raises(ConfigError, match=r"init_app\(app\)"):
        PgQueue().queue("mail").add("receipt")


def test_the_commands_use_the_database_of_the_app(
    app: Flask, jobs: PgQueue, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGQUEUE_DSN", "postgresql://127.0.0.1:1/elsewhere")
    run = app.test_cli_runner().invoke
    assert run(args=["pgqueue", "job", "add", "mail", "receipt", "17"]).exit_code == 0
    listed = run(args=["pgqueue", "queue", "ls", "--json"])
    assert json.loads(listed.stdout)[0]["name"] == "mail"
    assert run(args=["pgqueue", "migrate", "--check"]).exit_code == 0
    jobs.handler("mail", "receipt")(lambda job: job.data + 1)
    assert run(args=["pgqueue", "worker", "--drain"]).exit_code == 0
    with Queue("mail", dsn=dsn) as queue:
        assert queue.get(1).result == 18
    assert run(args=["pgqueue", "queue", "show", "none"]).exit_code == 2
