"""The admin shows jobs, retries and cancels them, and edits nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from django_app import tasks
from pgqueue.django import queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sql

LIST = "/admin/pgqueue/job/"


def login(*permissions: str, superuser: bool = False) -> Client:
    from django.contrib.auth.models import Permission, User  # noqa: PLC0415

    user = User.objects.create_user("staff", is_staff=True, is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def staff(site: Sql) -> Client:
    return login(superuser=True)


def text(response: Any) -> str:
    assert response.status_code == 200, response.status_code
    return str(response.content.decode())


def act(client: Client, action: str, *jobs: Any) -> str:
    given = {"action": action, "_selected_action": [job.id for job in jobs]}
    return text(client.post(LIST, given, follow=True))


def test_jobs_are_listed_by_state_and_queue(staff: Client) -> None:
    queue("notes").add("first-job")
    queue("more").add("second-job", delay=60)
    page = text(staff.get(LIST))
    assert "first-job" in page
    assert "second-job" in page
    delayed = text(staff.get(LIST, {"state__exact": "delayed"}))
    assert "second-job" in delayed
    assert "first-job" not in delayed
    assert "second-job" not in text(staff.get(LIST, {"queue": "notes"}))


def test_jobs_are_found_by_name_key_and_id(staff: Client) -> None:
    job = queue("notes").add("first-job", key="the-key")
    queue("notes").add("second-job")
    for words in ("first", "the-key", str(job.id)):
        page = text(staff.get(LIST, {"q": words}))
        assert "first-job" in page
        assert "second-job" not in page


def test_failed_jobs_are_found_by_their_error(
    staff: Client, work: Callable[..., None]
) -> None:
    tasks.fail.using(attempts=1).enqueue("the printer is out of paper")
    tasks.break_down.using(attempts=1).enqueue("no ink")
    work()
    page = text(staff.get(LIST, {"q": "out of paper"}))
    assert "tasks.fail" in page
    assert "tasks.break_down" not in page


def test_a_job_is_shown_with_its_data_and_failures(
    staff: Client, work: Callable[..., None]
) -> None:
    tasks.fail.using(attempts=1).enqueue("<b>the reason</b>")
    work()
    [job] = queue("mail").jobs("failed")
    queue("mail").log(job.id, "a line of its log")
    page = text(staff.get(f"{LIST}{job.id}/change/"))
    assert "&lt;b&gt;the reason&lt;/b&gt;" in page
    assert "<b>the reason" not in page
    assert "Traceback" in page
    assert "a line of its log" in page


def test_every_kind_of_data_can_be_shown(staff: Client) -> None:
    for data in (None, "text", 1, [1, {"a": None}], {"b": "c"}):
        job = queue("notes").add("job", data)
        assert text(staff.get(f"{LIST}{job.id}/change/"))


def test_failed_jobs_are_retried(staff: Client, work: Callable[..., None]) -> None:
    tasks.fail.using(attempts=1).enqueue("x")
    work()
    [failed] = queue("mail").jobs("failed")
    waiting = queue("mail").add("waits")
    page = act(staff, "retry_jobs", failed, waiting)
    assert "1 job retried." in page
    assert 'class="warning"' in page
    assert queue("mail").get(waiting.id) == waiting
    assert queue("mail").get(failed.id).state == "waiting"


def test_waiting_jobs_are_cancelled(staff: Client) -> None:
    jobs = [queue("notes").add("job") for _ in range(2)]
    assert "2 jobs cancelled." in act(staff, "cancel_jobs", *jobs)
    assert queue("notes").counts().failed == 2


def test_nothing_is_edited_added_or_deleted(staff: Client) -> None:
    job = queue("notes").add("job")
    assert staff.get(f"{LIST}add/").status_code == 403
    assert staff.post(f"{LIST}{job.id}/change/", {"name": "x"}).status_code == 403
    assert staff.post(f"{LIST}{job.id}/delete/", {"post": "yes"}).status_code == 403
    assert "delete_selected" not in text(staff.get(LIST))
    assert queue("notes").get(job.id) == job


def test_a_look_is_not_a_right_to_act(site: Sql) -> None:
    job = queue("notes").add("job")
    viewer = login("view_job")
    assert "retry_jobs" not in text(viewer.get(LIST))
    act(viewer, "cancel_jobs", job)
    assert queue("notes").get(job.id).state == "waiting"


def test_who_may_operate_may_act(site: Sql) -> None:
    job = queue("notes").add("job")
    assert "cancelled" in act(login("view_job", "operate_job"), "cancel_jobs", job)
    assert queue("notes").get(job.id).state == "failed"


def test_others_see_nothing(site: Sql) -> None:
    assert login().get(LIST).status_code == 403
