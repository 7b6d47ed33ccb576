"""How well models answer, by day: counts that a task writes and pages read."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0006_months_of_tenants"),
        ("tenants", "0008_keys_to_claim"),
    ]

    operations = [
        migrations.CreateModel(
            name="ModelQuality",
            fields=[
                ("day", models.DateField()),
                ("calls", models.BigIntegerField()),
                ("failed", models.BigIntegerField()),
                ("answered_in", models.JSONField(default=dict)),
                ("first_token_in", models.JSONField(default=dict)),
                ("tokens_per_second", models.JSONField(default=dict)),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "model", "day", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("tenants", models.IntegerField()),
                (
                    "model",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.billedmodel",
                    ),
                ),
            ],
            options={
                "db_table": "quality_of_model",
                "indexes": [models.Index(fields=["day"], name="quality_of_model_day")],
            },
        ),
        migrations.CreateModel(
            name="TenantQuality",
            fields=[
                ("day", models.DateField()),
                ("calls", models.BigIntegerField()),
                ("failed", models.BigIntegerField()),
                ("answered_in", models.JSONField(default=dict)),
                ("first_token_in", models.JSONField(default=dict)),
                ("tokens_per_second", models.JSONField(default=dict)),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant",
                        "model",
                        "day",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.billedmodel",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "quality_of_tenant",
                "indexes": [models.Index(fields=["day"], name="quality_of_tenant_day")],
                "abstract": False,
            },
            managers=[
                ("unscoped", django.db.models.manager.Manager()),
            ],
        ),
    ]
