from __future__ import annotations

from typing import ClassVar

from django.db import models


class Note(models.Model):
    text = models.TextField(unique=True)

    class Meta:
        app_label: ClassVar[str] = "django_app"
