"""Imports become entries that people decide. What earlier imports did stays done; their jumps are in the audit log."""

import core.ids
import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0031_planned_changes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ImportEntry",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("place", models.PositiveIntegerField()),
                ("source", models.CharField(max_length=120)),
                ("key", models.CharField(max_length=200, verbose_name="key in the source")),
                ("model_name", models.CharField(max_length=120, verbose_name="model")),
                ("provider", models.CharField(blank=True, max_length=60, verbose_name="provider")),
                (
                    "kind",
                    models.CharField(
                        choices=[("new", "New"), ("changed", "Changed"), ("withdrawn", "No longer named")],
                        max_length=10,
                        verbose_name="change",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("held", "Held back"),
                            ("waiting", "Waiting"),
                            ("accepted", "Accepted"),
                            ("rejected", "Rejected"),
                            ("overtaken", "Overtaken"),
                            ("undone", "Undone"),
                        ],
                        default="waiting",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("before", models.JSONField(null=True)),
                ("after", models.JSONField(null=True)),
                ("digest", models.CharField(blank=True, max_length=64)),
                ("held_for", models.JSONField(default=list)),
                (
                    "differs",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=40), default=list, size=None
                    ),
                ),
                ("is_edited", models.BooleanField(default=False)),
                ("decided_at", models.DateTimeField(null=True, verbose_name="decided")),
            ],
            options={
                "verbose_name": "entry of an import",
                "verbose_name_plural": "entries of imports",
            },
        ),
        migrations.RemoveField(
            model_name="catalogimport",
            name="price_jumps",
        ),
        migrations.AddField(
            model_name="catalogimport",
            name="format",
            field=models.CharField(
                db_default="litellm", default="litellm", max_length=20, verbose_name="format"
            ),
        ),
        migrations.AddField(
            model_name="catalogimport",
            name="outcome",
            field=models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.AddField(
            model_name="catalogimport",
            name="state",
            field=models.CharField(
                choices=[
                    ("open", "Waiting for decisions"),
                    ("busy", "Being carried out"),
                    ("done", "Decided"),
                    ("undone", "Undone"),
                ],
                db_default="done",
                default="done",
                max_length=6,
                verbose_name="state",
            ),
        ),
        migrations.AddField(
            model_name="catalogimport",
            name="wanted",
            field=models.JSONField(null=True),
        ),
        migrations.AddIndex(
            model_name="catalogimport",
            index=models.Index(
                condition=models.Q(("state", "busy")), fields=["at"], name="catalog_import_busy"
            ),
        ),
        migrations.AddField(
            model_name="importentry",
            name="decided_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="decided by",
            ),
        ),
        migrations.AddField(
            model_name="importentry",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="entries",
                to="catalog.catalogimport",
                verbose_name="catalog import",
            ),
        ),
        migrations.AddIndex(
            model_name="importentry",
            index=models.Index(
                condition=models.Q(("state__in", ["held", "waiting"])),
                fields=["source", "key"],
                name="import_entry_open",
            ),
        ),
        migrations.AddIndex(
            model_name="importentry",
            index=models.Index(
                condition=models.Q(("state", "rejected")),
                fields=["source", "digest"],
                name="import_entry_rejected",
            ),
        ),
        migrations.AddConstraint(
            model_name="importentry",
            constraint=models.UniqueConstraint(fields=("run", "place"), name="import_entry_one_place"),
        ),
    ]
