"""Exports: files that are built in the background. Apps add what must hold for files of their kinds."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models
from django.db.models import Q
from django.utils.timezone import now

from core.ids import uuid7
from exports import kinds

# An export belongs to the tenant of its project.
SAME_TENANT = """
ALTER TABLE exports_export ADD CONSTRAINT export_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Export",
            fields=[
                ("id", models.UUIDField(default=uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "tenant",
                    models.ForeignKey(
                        "tenants.tenant",
                        models.PROTECT,
                        blank=True,
                        null=True,
                        related_name="+",
                        verbose_name="tenant",
                    ),
                ),
                ("kind", models.CharField(choices=kinds.choices, max_length=12, verbose_name="kind")),
                (
                    "csv_format",
                    models.CharField(
                        choices=[
                            ("plain", "CSV"),
                            ("raw", "CSV for programs, formulas unchanged"),
                            ("excel", "CSV for Excel with decimal point (English, Chinese)"),
                            ("excel-comma", "CSV for Excel with decimal comma (German, French)"),
                        ],
                        db_default="plain",
                        default="plain",
                        max_length=12,
                    ),
                ),
                (
                    "entry_filter",
                    models.JSONField(
                        blank=True, db_default=models.Value({}, models.JSONField()), default=dict
                    ),
                ),
                (
                    "tenants_within",
                    ArrayField(
                        models.UUIDField(),
                        blank=True,
                        db_default=models.Value([], ArrayField(models.UUIDField())),
                        default=list,
                        editable=False,
                    ),
                ),
                ("start_day", models.DateField(verbose_name="first day")),
                ("end_day", models.DateField(verbose_name="last day")),
                (
                    "project",
                    models.ForeignKey(
                        "tenants.project",
                        models.PROTECT,
                        blank=True,
                        null=True,
                        related_name="+",
                        verbose_name="project",
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.PROTECT,
                        related_name="+",
                        verbose_name="requested by",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Waiting"),
                            ("running", "Building"),
                            ("done", "Ready"),
                            ("failed", "Failed"),
                            ("expired", "Expired"),
                        ],
                        default="queued",
                        max_length=8,
                        verbose_name="state",
                    ),
                ),
                ("rows_done", models.BigIntegerField(default=0)),
                ("rows_total", models.BigIntegerField(null=True, verbose_name="rows")),
                ("attempts", models.PositiveSmallIntegerField(default=0, verbose_name="attempts")),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
                ("heartbeat_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True, verbose_name="finished")),
                ("expires_at", models.DateTimeField(null=True, verbose_name="expires")),
                ("currency", models.CharField(blank=True, max_length=3)),
                ("total", models.DecimalField(decimal_places=14, max_digits=38, null=True)),
                ("size_bytes", models.BigIntegerField(null=True, verbose_name="size in bytes")),
                ("sha256", models.CharField(blank=True, max_length=64, verbose_name="SHA-256")),
                ("error", models.CharField(blank=True, max_length=500, verbose_name="error")),
                ("is_final", models.BooleanField(db_default=False, default=False)),
            ],
            options={
                "verbose_name": "export",
                "verbose_name_plural": "exports",
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(end_day__gte=models.F("start_day")), name="export_days_in_order"
                    ),
                    models.CheckConstraint(
                        condition=~Q(state="done")
                        | Q(finished_at__isnull=False, size_bytes__isnull=False, expires_at__isnull=False)
                        & ~Q(sha256=""),
                        name="export_done_has_its_file",
                    ),
                ],
                "indexes": [models.Index(fields=["tenant", "-id"], name="export_tenant_newest")],
            },
            managers=[("unscoped", models.Manager())],
        ),
        migrations.RunSQL(SAME_TENANT),
    ]
