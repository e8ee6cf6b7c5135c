"""`manage.py pgqueue …` is the whole command line, on the site's database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.core.management import CommandError, call_command

from django_app import jobs, tasks
from pgqueue.django import queue
from pgqueue.django.command import without

if TYPE_CHECKING:
    from conftest import Sql

TESTS = Path(__file__).parents[1]
MANAGE = (
    "from django.core.management import execute_from_command_line as run;"
    "import sys; run(['manage.py', *sys.argv[1:]])"
)


NO_TASKS = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in ("django.tasks", "django_tasks"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""
DRAIN = """
from django_site import set_up
set_up()
from pgqueue.django import queue
from pgqueue.django.worker import make_site_worker
worker = make_site_worker()
print(worker.queues)
known = queue("notes").add("raw", 1)
foreign = queue("notes").add("another.site.task")
worker.run(drain=True)
print(queue("notes").result(known.id, 0), queue("notes").get(foreign.id).state.value)
"""


def manage(
    dsn: str, *arguments: str, code: str = MANAGE, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `manage.py` as a person does, in a process of its own."""
    paths = [str(TESTS.parent), str(TESTS)]
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("PGQUEUE_")},
            "DJANGO_SETTINGS_MODULE": "django_settings",
            "DJANGO_TEST_DSN": dsn,
            "PYTHONPATH": os.pathsep.join(paths),
            **environment,
        },
    )


def test_commands_need_no_dsn(
    site: Sql, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGQUEUE_DSN", raising=False)
    job = queue("notes").add("first")
    call_command("pgqueue", "job", "show", "notes", str(job.id), "--json")
    assert json.loads(capsys.readouterr().out)["name"] == "first"
    assert "PGQUEUE_DSN" not in os.environ


def test_a_refusal_is_a_command_error(site: Sql) -> None:
    with pytest.raises(CommandError, match="ended with 2"):
        call_command("pgqueue", "job", "show", "notes", "1")


def test_a_worker_without_a_target_runs_what_the_apps_have(
    site: Sql, site_dsn: str
) -> None:
    jobs.write.add("by a worker of its own")
    result = tasks.add.enqueue(1, b=1)
    ran = manage(site_dsn, "pgqueue", "worker", "--drain", "--settings=django_settings")
    assert ran.returncode == 0, ran.stderr
    assert site.value("SELECT text FROM django_app_note") == "by a worker of its own"
    assert tasks.add.get_result(result.id).return_value == 2


def test_a_worker_of_named_queues_leaves_the_others(site: Sql, site_dsn: str) -> None:
    jobs.write.add("waits")
    tasks.add.enqueue(1)
    ran = manage(site_dsn, "pgqueue", "worker", "-q", "notes", "--drain", "-c", "2")
    assert ran.returncode == 0, ran.stderr
    assert site.value("SELECT count(*) FROM django_app_note") == 1
    assert queue("default").count() == 1


def test_a_worker_of_a_target_runs_it(site: Sql, site_dsn: str) -> None:
    job = queue("notes").add("anything", 1)
    ran = manage(
        site_dsn, "pgqueue", "worker", "django_app.jobs:raw", "-q", "notes", "--drain"
    )
    assert ran.returncode == 0, ran.stderr
    assert queue("notes").result(job.id, 0) == {"queue": "notes", "data": 1}


def test_a_worker_whose_jobs_run_in_processes(site: Sql, site_dsn: str) -> None:
    jobs.write.add("in a process")
    ran = manage(site_dsn, "pgqueue", "worker", "--isolation", "process", "--drain")
    assert ran.returncode == 0, ran.stderr
    assert site.value("SELECT text FROM django_app_note") == "in a process"


def test_the_help_is_the_help_of_the_command(site_dsn: str) -> None:
    ran = manage(site_dsn, "pgqueue", "worker", "--help")
    assert ran.returncode == 0
    assert "manage.py pgqueue worker" in ran.stdout
    assert "[MODULE:OBJECT]" in ran.stdout


@pytest.mark.parametrize(
    "given",
    [
        ["queue", "--settings=x", "ls"],
        ["queue", "--settings", "x", "ls"],
        ["queue", "ls", "--pythonpath=."],
    ],
)
def test_what_manage_py_reads_itself_is_left_out(given: list[Any]) -> None:
    assert without(given) == ["queue", "ls"]


def test_the_schema_may_have_another_name(fresh_database: str) -> None:
    def run(*arguments: str) -> str:
        ran = manage(fresh_database, *arguments, PGQUEUE_SCHEMA="errands")
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    run("migrate")
    assert "No changes" in run("makemigrations", "--check", "--dry-run")
    run("pgqueue", "job", "add", "notes", "write", '{"text": "elsewhere"}')
    run("pgqueue", "worker", "--drain")
    with psycopg.connect(fresh_database) as connection:
        found = connection.execute("SELECT state FROM errands.jobs").fetchall()
        assert found == [("completed",)]
        assert connection.execute("SELECT to_regnamespace('pgqueue')").fetchone() == (
            None,
        )


def test_two_processes_share_no_connection(site: Sql, site_dsn: str) -> None:
    for n in range(20):
        jobs.write.add(f"{n}")
    ran = manage(site_dsn, "pgqueue", "worker", "--processes", "2", "--drain")
    assert ran.returncode == 0, ran.stderr
    assert site.value("SELECT count(*) FROM django_app_note") == 20


def test_the_worker_of_a_site_takes_every_option_that_the_core_has(
    site: Sql, site_dsn: str
) -> None:
    refused = manage(site_dsn, "pgqueue", "worker", "--reload", "--drain")
    assert refused.returncode != 0
    assert "--reload and --drain do not go together" in refused.stderr


def test_a_worker_runs_where_there_is_no_framework_for_tasks(
    site: Sql, site_dsn: str
) -> None:
    done = manage(site_dsn, code=NO_TASKS + DRAIN)
    assert done.returncode == 0, done.stderr
    queues, ended = done.stdout.splitlines()
    assert queues == "('more', 'notes')"
    assert ended == "{'queue': 'notes', 'data': 1} delayed"


def test_the_backend_of_tasks_says_what_is_missing(site: Sql, site_dsn: str) -> None:
    code = "from django_site import set_up; set_up(); import pgqueue.django.tasks"
    done = manage(site_dsn, code=NO_TASKS + code)
    assert done.returncode == 1
    assert "pip install django-tasks" in done.stderr


CONFIGURED = """
import json, os, sys
from django.conf import settings
for name, value in json.loads(os.environ["SITE_SETTINGS"]).items():
    setattr(settings, name, value)
"""


def with_settings(
    dsn: str, given: dict[str, Any], *arguments: str, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run `manage.py` with other settings."""
    code = CONFIGURED + MANAGE
    return manage(dsn, *arguments, code=code, SITE_SETTINGS=json.dumps(given), **env)


def test_the_check_of_a_site_tells_of_bad_options_of_tasks(site_dsn: str) -> None:
    entry = {"BACKEND": "pgqueue.django.PgQueueBackend", "OPTIONS": {"atempts": 5}}
    ran = with_settings(site_dsn, {"TASKS": {"default": entry}}, "check")
    assert ran.returncode != 0
    assert ran.stderr.count("TASKS['default']['OPTIONS'] has 'atempts'") == 1


WRONG: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({"PGQUEUE": {"DATABSE": "default"}}, {}, "PGQUEUE='DATABSE'"),
    ({"PGQUEUE": {"SCHEMA": "Not; good"}}, {}, "PGQUEUE['SCHEMA']='Not; good'"),
    ({"PGQUEUE": []}, {}, "PGQUEUE=[]"),
    ({}, {"PGQUEUE_LISTEN": "of"}, "PGQUEUE_LISTEN='of'"),
    ({}, {"PGQUEUE_SCHEMA": "Not; good"}, "PGQUEUE_SCHEMA='Not; good'"),
]


@pytest.mark.parametrize(("given", "env", "said"), WRONG)
def test_a_wrong_setting_is_an_error_of_the_check(
    site_dsn: str, given: dict[str, Any], env: dict[str, str], said: str
) -> None:
    for command in ("check", "migrate"):
        ran = with_settings(site_dsn, given, command, **env)
        assert ran.returncode == 1
        assert "(pgqueue.E005)" in ran.stderr
        assert said in ran.stderr
        assert "Traceback" not in ran.stderr
    ran = with_settings(site_dsn, given, "pgqueue", "queue", "ls", **env)
    assert ran.returncode == 2
    assert ran.stderr.startswith("pgqueue: ")
    assert said in ran.stderr
    used = "from pgqueue.django import queue; queue('notes').count()"
    ran = with_settings(site_dsn, given, "shell", "-c", used, **env)
    assert "ConfigError" in ran.stderr
    assert said in ran.stderr


def test_a_record_of_django_is_logged_once_while_debugging(
    site: Sql, site_dsn: str
) -> None:
    """Django's default has a console then, beside the log of the worker."""
    jobs.log_as_django.add()
    ran = with_settings(site_dsn, {"DEBUG": True}, "pgqueue", "worker", "--drain")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("an order was placed") == 1, ran.stderr


def test_a_queue_that_nothing_is_for_is_warned_of(site: Sql, site_dsn: str) -> None:
    ran = manage(site_dsn, "pgqueue", "worker", "-q", "nope", "-q", "notes", "--drain")
    assert ran.returncode == 0, ran.stderr
    assert "no task is for queue 'nope'" in ran.stderr
    assert "'notes'" not in ran.stderr


@pytest.mark.parametrize("command", [["worker", "--drain"], ["queue", "ls"]])
def test_a_site_that_is_not_migrated_is_told_its_own_command(
    fresh_database: str, command: list[str]
) -> None:
    ran = manage(fresh_database, "pgqueue", *command)
    assert ran.returncode == 2
    assert ran.stderr.strip().endswith("run: manage.py migrate")
