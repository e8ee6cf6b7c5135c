"""The settings of the tests' site; the database is the one of the environment."""

from __future__ import annotations

import os

import django_site

SECRET_KEY = "of the tests"  # noqa: S105
INSTALLED_APPS = django_site.APPS
MIDDLEWARE = django_site.MIDDLEWARE
TEMPLATES = [django_site.TEMPLATES]
TASKS = django_site.TASKS
DATABASES = {"default": django_site.database_of(os.environ.get("DJANGO_TEST_DSN", ""))}
ROOT_URLCONF = "django_app.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
ALLOWED_HOSTS = ["*"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
