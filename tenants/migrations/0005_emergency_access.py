"""Emergency access of staff to a tenant: short, for a stated reason, and reviewed by someone else."""

from datetime import timedelta

from django.conf import settings
from django.db import migrations, models
from django.db.models import Q
from django.utils.timezone import now

from core.ids import uuid7
from core.names import LineField, OneLine


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0004_access_tokens"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            "EmergencyAccess",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("tenant", models.ForeignKey("tenants.tenant", models.PROTECT, verbose_name="tenant")),
                (
                    "opened_by",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name="opened by"
                    ),
                ),
                ("reason", LineField(max_length=500, verbose_name="reason")),
                ("opened_at", models.DateTimeField(default=now, editable=False, verbose_name="opened")),
                ("expires_at", models.DateTimeField(verbose_name="expires")),
                ("session_digest", models.CharField(max_length=64, editable=False)),
                ("ended_at", models.DateTimeField(null=True, verbose_name="ended")),
                ("mailed_at", models.DateTimeField(null=True, verbose_name="e-mailed")),
                ("mail_problem", models.CharField(max_length=200, blank=True, verbose_name="e-mail problem")),
                (
                    "reviewed_by",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.PROTECT,
                        null=True,
                        related_name="+",
                        verbose_name="reviewed by",
                    ),
                ),
                ("reviewed_at", models.DateTimeField(null=True, verbose_name="reviewed")),
                ("remark", LineField(max_length=500, blank=True, verbose_name="remark")),
            ],
            options={
                "verbose_name": "emergency access",
                "verbose_name_plural": "emergency accesses",
                "indexes": [
                    models.Index(name="emergency_access_of_person", fields=["opened_by", "expires_at"]),
                ],
                "constraints": [
                    models.CheckConstraint(
                        name="emergency_access_reason_is_one_line", condition=Q(OneLine(models.F("reason")))
                    ),
                    models.CheckConstraint(
                        name="emergency_access_remark_is_one_line", condition=Q(OneLine(models.F("remark")))
                    ),
                    models.CheckConstraint(
                        name="emergency_access_takes_two", condition=~Q(reviewed_by=models.F("opened_by"))
                    ),
                    models.CheckConstraint(
                        name="emergency_access_is_short",
                        condition=Q(
                            expires_at__gt=models.F("opened_at"),
                            expires_at__lte=models.F("opened_at") + timedelta(hours=4),
                        ),
                    ),
                    models.CheckConstraint(
                        name="emergency_access_says_why", condition=Q(reason__regex="^.{10,}$")
                    ),
                    models.CheckConstraint(
                        name="emergency_access_reviewed_by_somebody",
                        condition=Q(remark="", reviewed_at__isnull=True, reviewed_by__isnull=True)
                        | Q(reviewed_at__isnull=False, reviewed_by__isnull=False) & ~Q(remark=""),
                    ),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
    ]
