"""The shop's settings; DATABASE_URL says where its PostgreSQL is."""

from __future__ import annotations

import os

from psycopg.conninfo import conninfo_to_dict

database = conninfo_to_dict(os.environ.get("DATABASE_URL", "dbname=shop"))

SECRET_KEY = os.environ.get("SECRET_KEY", "for development only")
DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "pgqueue.django",
    "shop",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database.get("dbname", ""),
        "USER": database.get("user", ""),
        "PASSWORD": database.get("password", ""),
        "HOST": database.get("host", ""),
        "PORT": str(database.get("port", "")),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "shop.urls"
USE_TZ = True
TIME_ZONE = "UTC"

# How long after an order its reminder is due, in seconds.
REMINDER_DELAY = float(os.environ.get("REMINDER_DELAY", "172800"))
