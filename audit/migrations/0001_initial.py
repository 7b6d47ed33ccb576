"""The audit log, the chain of hashes over it, and what staff read."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models
from django.db.models import Q
from django.utils.timezone import now

from audit.models.entries import ClockTime, CurrentTransaction, NewEntryId, NewSalt
from core.ids import uuid7

# The id of an entry is a version 7 UUID of its time, so that entries sort by the time they were made: milliseconds,
# 12 bits of their fraction, 62 random bits (RFC 9562).
ENTRY_ID = """
CREATE FUNCTION audit_entry_id(moment timestamp with time zone) RETURNS uuid LANGUAGE sql AS $$
    SELECT (lpad(to_hex(us / 1000), 12, '0') || '7' || lpad(to_hex(us % 1000 * 4096 / 1000), 3, '0')
            || substr(replace(gen_random_uuid()::text, '-', ''), 17))::uuid
      FROM (SELECT (extract(epoch FROM moment) * 1000000)::bigint AS us) epoch
$$;
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL(ENTRY_ID, "DROP FUNCTION audit_entry_id(timestamp with time zone)"),
        migrations.CreateModel(
            "AuditEntry",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        primary_key=True, db_default=NewEntryId(), editable=False, serialize=False
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        "tenants.tenant",
                        models.PROTECT,
                        null=True,
                        related_name="+",
                        db_index=False,
                        verbose_name="tenant",
                    ),
                ),
                ("at", models.DateTimeField(db_default=ClockTime(), editable=False, verbose_name="time")),
                (
                    "actor",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.PROTECT,
                        null=True,
                        related_name="+",
                        db_index=False,
                        verbose_name="actor",
                    ),
                ),
                ("actor_label", models.CharField(max_length=254, verbose_name="actor")),
                (
                    "acting_as",
                    models.CharField(
                        max_length=20,
                        blank=True,
                        db_default="",
                        choices=[
                            ("self", "Themselves"),
                            ("staff", "Staff, for the tenant"),
                            ("delegate", "Delegate"),
                            ("emergency_access", "Emergency access"),
                            ("service", "Service account"),
                            ("directory", "Directory"),
                            ("platform", "Platform"),
                        ],
                        verbose_name="acting as",
                    ),
                ),
                (
                    "on_behalf_of",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.PROTECT,
                        null=True,
                        related_name="+",
                        db_index=False,
                        verbose_name="on behalf of",
                    ),
                ),
                (
                    "on_behalf_of_label",
                    models.CharField(max_length=254, blank=True, db_default="", verbose_name="on behalf of"),
                ),
                (
                    "reason",
                    models.CharField(max_length=1000, blank=True, db_default="", verbose_name="reason"),
                ),
                ("verb", models.CharField(max_length=80, verbose_name="action")),
                ("subject_type", models.CharField(max_length=80, verbose_name="subject type")),
                ("subject_id", models.CharField(max_length=64, verbose_name="subject ID")),
                ("subject_label", models.CharField(max_length=200, verbose_name="subject")),
                ("details", models.JSONField(default=dict, verbose_name="details")),
                (
                    "changes",
                    models.JSONField(
                        default=dict, db_default=models.Value({}, models.JSONField()), verbose_name="changes"
                    ),
                ),
                ("request_id", models.CharField(max_length=64, blank=True, verbose_name="request ID")),
                (
                    "trace_id",
                    models.CharField(max_length=32, blank=True, db_default="", verbose_name="trace ID"),
                ),
                ("address", models.GenericIPAddressField(null=True, verbose_name="IP address")),
                (
                    "user_agent",
                    models.CharField(max_length=300, blank=True, verbose_name="browser or program"),
                ),
                ("salt", models.BinaryField(db_default=NewSalt())),
                ("leaf_salts", models.JSONField(null=True, editable=False)),
            ],
            options={
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit entries",
                "indexes": [
                    models.Index(name="audit_of_tenant", fields=["tenant", "-id"]),
                    models.Index(name="audit_of_tenant_by_actor", fields=["tenant", "actor", "verb", "-id"]),
                    models.Index(name="audit_of_tenant_by_verb", fields=["tenant", "verb", "-id"]),
                    models.Index(name="audit_by_actor", fields=["actor", "verb", "-id"]),
                    models.Index(name="audit_by_verb", fields=["verb", "-id"]),
                    models.Index(name="audit_of_subject", fields=["subject_id", "-id"]),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
        migrations.CreateModel(
            "AuditPending",
            fields=[
                ("entry_id", models.UUIDField(primary_key=True, serialize=False)),
                ("transaction_id", models.BigIntegerField(db_default=CurrentTransaction(), db_index=True)),
            ],
            options={
                "verbose_name_plural": "audit entries without a checkpoint",
            },
        ),
        migrations.CreateModel(
            "AuditCheckpoint",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("previous", models.BinaryField()),
                ("sha256", models.BinaryField()),
                ("created_at", models.DateTimeField()),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                ("entry_ids", ArrayField(models.UUIDField())),
                ("entry_digests", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            "AuditAnchor",
            fields=[
                ("destination", models.CharField(primary_key=True, max_length=500, serialize=False)),
                ("up_to_checkpoint", models.BigIntegerField(default=0)),
                ("exported_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            "AuditRedaction",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entry_id", models.UUIDField(db_index=True)),
                ("record_id", models.UUIDField(db_index=True)),
                ("token", models.CharField(max_length=40)),
                ("commitments", models.JSONField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        name="audit_redaction_has_its_token",
                        # no secret, a pseudonym
                        condition=Q(token__regex="^erased-[0-9a-f]{8,}$"),  # noqa: S106
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            "AuditPruning",
            fields=[
                ("up_to_checkpoint", models.BigIntegerField(primary_key=True, serialize=False)),
                ("record_id", models.UUIDField()),
                ("pruned_at", models.DateTimeField(default=now, editable=False)),
            ],
        ),
        migrations.CreateModel(
            "StaffRead",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("tenant", models.ForeignKey("tenants.tenant", models.PROTECT, verbose_name="tenant")),
                ("person", models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")),
                ("hour", models.DateTimeField()),
                ("kinds", ArrayField(models.CharField(max_length=120))),
                ("entry_id", models.UUIDField(unique=True, null=True)),
            ],
            options={
                "indexes": [
                    models.Index(name="staff_read_by_hour", fields=["hour"]),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        name="staff_read_once_an_hour", fields=("person", "tenant", "hour")
                    ),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
    ]
