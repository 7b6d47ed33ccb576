"""Gateways, the policy for all of them, and the clock of their configuration."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models
from django.db.models import Q
from django.utils.timezone import now

from core.ids import uuid7


class Migration(migrations.Migration):
    initial = True

    dependencies = [("tenants", "0001_initial")]

    operations = [
        migrations.CreateModel(
            "Gateway",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("name", models.SlugField(max_length=60, unique=True, verbose_name="name")),
                ("prefix", models.CharField(max_length=12, verbose_name="token begins with")),
                ("digest", models.CharField(max_length=64, unique=True, editable=False)),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="registered")),
                ("revoked_at", models.DateTimeField(null=True, verbose_name="revoked at")),
                (
                    "acknowledged_revision",
                    models.BigIntegerField(default=0, verbose_name="acknowledged revision"),
                ),
                ("acknowledged_at", models.DateTimeField(null=True, verbose_name="acknowledged at")),
                ("last_seen_at", models.DateTimeField(null=True, verbose_name="last seen")),
                (
                    "spool_pending",
                    models.BigIntegerField(default=0, verbose_name="calls not yet in the ledger"),
                ),
                ("report", models.JSONField(default=dict)),
            ],
            options={
                "verbose_name": "gateway",
                "verbose_name_plural": "gateways",
                "permissions": [("manage_gateway", "Register and revoke gateways")],
            },
        ),
        migrations.CreateModel(
            "SigningKey",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("public", models.BinaryField(unique=True)),
                ("private", models.BinaryField()),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
                ("retired_at", models.DateTimeField(null=True, verbose_name="retired at")),
            ],
            options={"verbose_name": "signing key", "verbose_name_plural": "signing keys"},
        ),
        migrations.CreateModel(
            "RefusedCalls",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                (
                    "tenant",
                    models.ForeignKey(
                        "tenants.tenant",
                        models.PROTECT,
                        db_index=False,
                        related_name="+",
                        verbose_name="tenant",
                    ),
                ),
                ("project_id", models.UUIDField()),
                ("key_id", models.UUIDField()),
                ("gateway_name", models.CharField(max_length=60, verbose_name="gateway")),
                ("minute", models.DateTimeField(verbose_name="minute")),
                ("model", models.CharField(max_length=200, blank=True, verbose_name="model")),
                ("status", models.SmallIntegerField(verbose_name="status")),
                ("code", models.CharField(max_length=60, verbose_name="code")),
                ("count", models.BigIntegerField(verbose_name="calls")),
                ("limit_id", models.UUIDField(null=True)),
                ("limit_scope", models.CharField(max_length=10, blank=True)),
                ("limit_scope_id", models.UUIDField(null=True)),
                ("limit_kind", models.CharField(max_length=40, blank=True)),
                ("limit_value", models.BigIntegerField(null=True)),
                ("limit_model", models.CharField(max_length=200, blank=True)),
                ("samples", models.JSONField(default=list)),
            ],
            options={
                "verbose_name": "refused calls",
                "verbose_name_plural": "refused calls",
                "indexes": [
                    models.Index(name="refused_of_tenant", fields=["tenant", "-minute"]),
                    models.Index(name="refused_by_minute", fields=["minute"]),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
        migrations.CreateModel(
            "GatewayPolicy",
            fields=[
                ("id", models.SmallIntegerField(primary_key=True, default=1, serialize=False)),
                ("media_hosts", ArrayField(models.CharField(max_length=255), blank=True, default=list)),
                ("region_order", ArrayField(models.CharField(max_length=60), blank=True, default=list)),
                ("changed_at", models.DateTimeField(default=now, editable=False)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(name="gateway_policy_is_one_row", condition=Q(id=1)),
                ],
            },
        ),
        migrations.CreateModel(
            "ConfigRefusal",
            fields=[
                ("id", models.SmallIntegerField(primary_key=True, default=1, serialize=False)),
                ("revision", models.BigIntegerField(default=0)),
                ("reason", models.TextField(default="")),
                ("refused_at", models.DateTimeField(null=True)),
                ("proved_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(name="config_refusal_is_one_row", condition=Q(id=1)),
                ],
            },
        ),
        migrations.CreateModel(
            "ProvedRouting",
            fields=[
                ("id", models.SmallIntegerField(primary_key=True, default=1, serialize=False)),
                ("revision", models.BigIntegerField(default=0)),
                ("digest", models.CharField(default="", max_length=64)),
                ("body", models.BinaryField(default=b"")),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(name="proved_routing_is_one_row", condition=Q(id=1)),
                ],
            },
        ),
        migrations.CreateModel(
            "ConfigClock",
            fields=[
                ("id", models.SmallIntegerField(primary_key=True, default=1, serialize=False)),
                ("announced_until", models.DateTimeField(default=now)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(name="config_clock_is_one_row", condition=Q(id=1)),
                ],
            },
        ),
    ]
