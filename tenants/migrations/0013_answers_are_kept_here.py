"""The table of stored answers moves between apps in name only: routes of both use it."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import core.ids


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0012_second_factors"),
        ("catalog", "0001_initial"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="StoredAnswer",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("key", models.CharField(max_length=200)),
                        ("digest", models.CharField(max_length=64)),
                        ("status", models.PositiveSmallIntegerField()),
                        ("body", models.JSONField()),
                        ("at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                        (
                            "user",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="+",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                    ],
                    options={
                        "db_table": "catalog_storedanswer",
                        "constraints": [
                            models.UniqueConstraint(fields=("user", "key"), name="stored_answer_once")
                        ],
                    },
                ),
            ],
            database_operations=[],
        ),
    ]
