"""The view `pgqueue.jobs` as a model that can only be read."""

from __future__ import annotations

from typing import Any

from django.db import models

from pgqueue.django.conf import at_start, site
from pgqueue.django.fields import JsonColumn
from pgqueue.types import JobState

STATES = [(state.value, state.value.replace("_", " ")) for state in JobState]


class JobManager(models.Manager):
    """Looks into the database that PGQUEUE names."""

    def get_queryset(self) -> Any:
        """Return all jobs."""
        return super().get_queryset().using(site().database)


class Job(models.Model):
    """A job where it stands now; acting on it is the business of `Queue`.

    Filter by queue and state first: the view goes through every table of states.
    """

    id = models.BigIntegerField(primary_key=True)
    queue = models.TextField()
    name = models.TextField()
    state = models.TextField(choices=STATES)
    priority = models.IntegerField()
    data = JsonColumn()
    attempt = models.IntegerField()
    attempts = models.IntegerField()
    stalled = models.IntegerField()
    created_at = models.DateTimeField()
    run_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    progress = JsonColumn(null=True)
    result = JsonColumn(null=True)
    error = models.TextField(null=True)
    key = models.TextField(null=True)
    worker = models.TextField(null=True)
    parent_id = models.BigIntegerField(null=True)

    objects = JobManager()

    class Meta:
        """A view is no table: Django neither makes nor changes it."""

        managed = False
        db_table = f'"{at_start().schema}"."jobs"'
        default_permissions = ("view",)
        permissions = (("operate_job", "Can retry and cancel jobs"),)
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.queue} {self.id} {self.name}"
