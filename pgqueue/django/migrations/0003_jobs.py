from __future__ import annotations

from django.db import migrations, models

from pgqueue.django.conf import site
from pgqueue.django.fields import JsonColumn

STATES = [
    ("waiting", "waiting"),
    ("delayed", "delayed"),
    ("active", "active"),
    ("waiting_children", "waiting children"),
    ("completed", "completed"),
    ("failed", "failed"),
]


class Migration(migrations.Migration):
    """The model of the view; nothing happens in the database."""

    dependencies = (("pgqueue", "0002_job_model"),)
    operations = (
        migrations.CreateModel(
            "Job",
            [
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("queue", models.TextField()),
                ("name", models.TextField()),
                ("state", models.TextField(choices=STATES)),
                ("priority", models.IntegerField()),
                ("data", JsonColumn()),
                ("attempt", models.IntegerField()),
                ("attempts", models.IntegerField()),
                ("stalled", models.IntegerField()),
                ("created_at", models.DateTimeField()),
                ("run_at", models.DateTimeField(null=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("progress", JsonColumn(null=True)),
                ("result", JsonColumn(null=True)),
                ("error", models.TextField(null=True)),
                ("key", models.TextField(null=True)),
                ("worker", models.TextField(null=True)),
                ("parent_id", models.BigIntegerField(null=True)),
            ],
            options={
                "managed": False,
                "db_table": f'"{site().schema}"."jobs"',
                "default_permissions": ("view",),
                "permissions": (("operate_job", "Can retry and cancel jobs"),),
                "ordering": ("-id",),
            },
        ),
    )
