"""The app: finds the jobs of all apps once Django is ready."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks as django_checks
from django.utils.module_loading import autodiscover_modules

from pgqueue.django.checks import check_site, check_tasks
from pgqueue.django.conf import at_start, core_settings, site
from pgqueue.shells.site import register


class PgQueueConfig(AppConfig):
    """Named `pgqueue` among the apps, in migrations and permissions."""

    name = "pgqueue.django"
    label = "pgqueue"
    verbose_name = "Job queue"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Import `jobs.py` of every app that has one."""
        django_checks.register(check_site)
        django_checks.register(check_tasks)
        register(lambda: (core_settings(), site().database))
        if name := at_start().autodiscover:
            autodiscover_modules(name)
