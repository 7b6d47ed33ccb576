"""Providers: APIs of others that serve models, their credentials and models, and where they may be."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import migrations, models
from django.utils.timezone import now

from core.ids import uuid7
from core.names import NameField, OneLine
from deployments.models.providers import dialect_choices


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("catalog", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="EgressPolicy",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                (
                    "allowed_networks",
                    ArrayField(base_field=models.CharField(max_length=60), blank=True, default=list),
                ),
                ("changed_at", models.DateTimeField(default=now, editable=False)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="egress_policy_is_one_row")
                ],
            },
        ),
        migrations.CreateModel(
            name="Provider",
            fields=[
                ("id", models.UUIDField(default=uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "name",
                    models.SlugField(
                        help_text="Such as openai-eu. It cannot be changed.",
                        max_length=60,
                        unique=True,
                        verbose_name="name",
                    ),
                ),
                ("title", NameField(max_length=120, verbose_name="display name")),
                ("dialect", models.CharField(choices=dialect_choices, max_length=30, verbose_name="dialect")),
                (
                    "base_url",
                    models.CharField(
                        help_text="Up to and including the version, such as https://…/v1.",
                        max_length=300,
                        verbose_name="base URL",
                    ),
                ),
                (
                    "api_version",
                    models.CharField(
                        blank=True,
                        help_text="For Azure OpenAI by deployment. Empty: the usual one.",
                        max_length=40,
                        validators=[RegexValidator("^[A-Za-z0-9.-]*$", "Letters, digits, dots and hyphens.")],
                        verbose_name="API version",
                    ),
                ),
                (
                    "regions",
                    ArrayField(
                        base_field=models.CharField(
                            max_length=60,
                            validators=[
                                RegexValidator(
                                    "^[a-z0-9][a-z0-9-]{0,58}[a-z0-9]$",
                                    "Lower-case letters, digits and hyphens.",
                                )
                            ],
                        ),
                        blank=True,
                        default=list,
                        help_text="Where calls are processed, separated by commas. Empty: not known, so resident tenants cannot use it.",
                        verbose_name="regions",
                    ),
                ),
                (
                    "highest_data_class",
                    models.CharField(
                        choices=[
                            ("public", "Public"),
                            ("internal", "Internal"),
                            ("confidential", "Confidential"),
                            ("restricted", "Restricted"),
                        ],
                        default="internal",
                        max_length=12,
                        verbose_name="highest data class",
                    ),
                ),
                (
                    "retention_days",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="How long the provider keeps prompts and answers. 0: not at all. Empty: not known.",
                        null=True,
                        verbose_name="retention in days",
                    ),
                ),
                (
                    "trains_on_data",
                    models.BooleanField(blank=True, null=True, verbose_name="trains on our data"),
                ),
                ("extra_headers", models.JSONField(blank=True, default=dict, verbose_name="extra headers")),
                (
                    "receives_traces",
                    models.BooleanField(
                        default=False,
                        help_text="Send it the traceparent and X-Trace-ID of each call. They are ours, so others get none.",
                        verbose_name="receives traces",
                    ),
                ),
                (
                    "connect_timeout_seconds",
                    models.PositiveIntegerField(
                        default=5,
                        help_text="In seconds.",
                        validators=[MinValueValidator(1), MaxValueValidator(3600)],
                        verbose_name="time-out of connecting",
                    ),
                ),
                (
                    "first_byte_timeout_seconds",
                    models.PositiveIntegerField(
                        default=120,
                        help_text="In seconds. Models that think answer late.",
                        validators=[MinValueValidator(1), MaxValueValidator(3600)],
                        verbose_name="time-out of the first byte",
                    ),
                ),
                (
                    "idle_timeout_seconds",
                    models.PositiveIntegerField(
                        default=60,
                        help_text="In seconds.",
                        validators=[MinValueValidator(1), MaxValueValidator(3600)],
                        verbose_name="time-out between bytes",
                    ),
                ),
                (
                    "proxy_url",
                    models.CharField(
                        blank=True,
                        help_text="Such as http://proxy.example.com:3128. Empty: none.",
                        max_length=300,
                        verbose_name="proxy",
                    ),
                ),
                (
                    "private_ca",
                    models.TextField(
                        blank=True,
                        help_text="Certificates in PEM form, trusted instead of the public authorities. Empty: the public ones.",
                        verbose_name="private CA",
                    ),
                ),
                (
                    "requests_per_minute",
                    models.BigIntegerField(
                        blank=True,
                        help_text="What the provider allows us, over all of its models. Gateways send it no more, and use the next target instead. Empty: not known.",
                        null=True,
                        validators=[MinValueValidator(1)],
                        verbose_name="our requests per minute there",
                    ),
                ),
                (
                    "tokens_per_minute",
                    models.BigIntegerField(
                        blank=True,
                        help_text="What the provider allows us, over all of its models. Gateways send it no more, and use the next target instead. Empty: not known.",
                        null=True,
                        validators=[MinValueValidator(1)],
                        verbose_name="our tokens per minute there",
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
                (
                    "tested_at",
                    models.DateTimeField(blank=True, editable=False, null=True, verbose_name="tested"),
                ),
                (
                    "answered_in_ms",
                    models.PositiveIntegerField(
                        blank=True, editable=False, null=True, verbose_name="answered in (ms)"
                    ),
                ),
                ("fault", models.CharField(blank=True, editable=False, max_length=600, verbose_name="fault")),
                (
                    "listed_at",
                    models.DateTimeField(blank=True, editable=False, null=True, verbose_name="models listed"),
                ),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
            ],
            options={
                "verbose_name": "provider",
                "verbose_name_plural": "providers",
                "permissions": [("manage_provider", "Add, change, disable and delete providers")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(OneLine(models.F("title"))), name="provider_title_is_one_line"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("connect_timeout_seconds__gte", 1),
                            ("first_byte_timeout_seconds__gte", 1),
                            ("idle_timeout_seconds__gte", 1),
                        ),
                        name="provider_timeouts_are_positive",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("requests_per_minute", None),
                                ("requests_per_minute__gte", 1),
                                _connector="OR",
                            ),
                            models.Q(
                                ("tokens_per_minute", None), ("tokens_per_minute__gte", 1), _connector="OR"
                            ),
                        ),
                        name="provider_quota_is_positive",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ProviderCredential",
            fields=[
                ("id", models.UUIDField(default=uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("stored", "Stored here, encrypted"),
                            ("file", "A file on the gateways"),
                            ("environment", "An environment variable of the gateways"),
                        ],
                        max_length=12,
                        verbose_name="kind",
                    ),
                ),
                ("ciphertext", models.BinaryField(null=True)),
                ("reference", models.CharField(blank=True, max_length=200, verbose_name="reference")),
                ("hint", models.CharField(blank=True, max_length=8, verbose_name="ends with")),
                ("fingerprint", models.CharField(blank=True, max_length=16, verbose_name="fingerprint")),
                ("valid_from", models.DateTimeField(default=now, verbose_name="valid from")),
                ("valid_until", models.DateTimeField(blank=True, null=True, verbose_name="valid until")),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
                (
                    "made_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="made by",
                    ),
                ),
                (
                    "provider",
                    models.ForeignKey(
                        on_delete=models.CASCADE,
                        related_name="credentials",
                        to="deployments.provider",
                        verbose_name="provider",
                    ),
                ),
            ],
            options={
                "verbose_name": "provider credential",
                "verbose_name_plural": "provider credentials",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("ciphertext__isnull", False), ("kind", "stored"), ("reference", "")),
                            models.Q(("kind", "stored"), ("reference", ""), ("valid_until__isnull", False)),
                            models.Q(
                                ("ciphertext", None),
                                ("kind", "file"),
                                (
                                    "reference__regex",
                                    "^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*){0,4}$",
                                ),
                            ),
                            models.Q(
                                ("ciphertext", None),
                                ("kind", "environment"),
                                ("reference__regex", "^PROVIDER_[A-Z0-9_]{1,90}$"),
                            ),
                            _connector="OR",
                        ),
                        name="provider_credential_is_of_its_kind",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("valid_until", None),
                            ("valid_until__gte", models.F("valid_from")),
                            _connector="OR",
                        ),
                        name="provider_credential_ends_after_it_begins",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("valid_until", None)),
                        fields=("provider",),
                        name="provider_credential_one_without_end",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ProviderModel",
            fields=[
                ("id", models.UUIDField(default=uuid7, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200, verbose_name="name at the provider")),
                ("mode", models.CharField(blank=True, max_length=40, verbose_name="mode")),
                (
                    "matched_by",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("exact", "the same name"),
                            ("normalized", "the same name in another spelling"),
                            ("person", "a person"),
                        ],
                        max_length=12,
                        verbose_name="matched by",
                    ),
                ),
                ("is_named_by_hand", models.BooleanField(default=False, verbose_name="named by hand")),
                (
                    "first_seen_at",
                    models.DateTimeField(default=now, editable=False, verbose_name="first seen"),
                ),
                ("last_seen_at", models.DateTimeField(default=now, editable=False, verbose_name="last seen")),
                (
                    "model",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.SET_NULL,
                        related_name="provider_models",
                        to="catalog.catalogmodel",
                        verbose_name="model",
                    ),
                ),
                (
                    "provider",
                    models.ForeignKey(
                        on_delete=models.CASCADE,
                        related_name="models",
                        to="deployments.provider",
                        verbose_name="provider",
                    ),
                ),
            ],
            options={
                "verbose_name": "provider model",
                "verbose_name_plural": "provider models",
                "constraints": [
                    models.UniqueConstraint(fields=("provider", "name"), name="provider_model_once")
                ],
            },
        ),
    ]
