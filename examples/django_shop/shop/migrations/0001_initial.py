from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


def key() -> models.BigAutoField:
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


class Migration(migrations.Migration):
    initial = True
    operations = (
        migrations.CreateModel(
            "Product",
            [
                ("id", key()),
                ("name", models.TextField(unique=True)),
                ("stock", models.IntegerField()),
            ],
        ),
        migrations.CreateModel(
            "Order",
            [
                ("id", key()),
                ("quantity", models.PositiveIntegerField()),
                ("in_stock", models.BooleanField(null=True)),
                ("shipped_with", models.TextField(blank=True)),
                (
                    "product",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, to="shop.product"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            "Mail",
            [
                ("id", key()),
                ("kind", models.TextField()),
                (
                    "order",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="shop.order"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=["order", "kind"], name="one_of_a_kind"
                    )
                ]
            },
        ),
    )
