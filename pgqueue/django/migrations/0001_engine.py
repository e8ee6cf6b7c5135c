from __future__ import annotations

from django.db import migrations

from pgqueue.django.operations import RunRevision


class Migration(migrations.Migration):
    initial = True
    operations = (RunRevision("0001"),)
