from __future__ import annotations

from django.db import migrations

from pgqueue.django.operations import RunRevision


class Migration(migrations.Migration):
    dependencies = (("pgqueue", "0001_engine"),)
    operations = (RunRevision("0002"),)
