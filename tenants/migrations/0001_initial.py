"""Tenants, their projects, members and invitations, API keys and limits."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Collate, Floor
from django.utils.timezone import now

from core.addresses import AddressField, IsAddress
from core.ids import uuid7
from core.names import LineField, NameField, OneLine, SkeletonField

ROLES = [
    ("owner", "Owner"),
    ("admin", "Admin"),
    ("developer", "Developer"),
    ("finance", "Finance"),
    ("viewer", "Viewer"),
]


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            "Tenant",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("slug", models.SlugField(max_length=60, unique=True, verbose_name="identifier")),
                ("name", NameField("Name", max_length=120)),
                ("name_skeleton", SkeletonField(max_length=600, unique=True, null=True, editable=False)),
                (
                    "status",
                    models.CharField(
                        max_length=10,
                        default="active",
                        choices=[("active", "Active"), ("suspended", "Suspended"), ("closed", "Closed")],
                        verbose_name="status",
                    ),
                ),
                (
                    "currency",
                    models.CharField(
                        "Billing currency",
                        max_length=3,
                        default="USD",
                        validators=[RegexValidator("^[A-Z]{3}$")],
                        help_text="Three letters, such as EUR. It cannot be changed once there is usage.",
                    ),
                ),
                (
                    "timezone",
                    models.CharField(
                        "Time zone",
                        max_length=64,
                        default="UTC",
                        help_text="An IANA name, such as Europe/Berlin. Days and months, and the limits "
                        "that count by them, begin in this time zone.",
                    ),
                ),
                (
                    "cost_centre",
                    NameField(
                        "Cost centre",
                        max_length=60,
                        blank=True,
                        help_text="Cost reports show it where a project has none of its own.",
                    ),
                ),
                (
                    "highest_data_class",
                    models.CharField(
                        "Highest data class",
                        max_length=12,
                        default="internal",
                        choices=[
                            ("public", "Public"),
                            ("internal", "Internal"),
                            ("confidential", "Confidential"),
                            ("restricted", "Restricted"),
                        ],
                        help_text="Nobody in the tenant can request to send more sensitive data to a "
                        "model. Only operators can raise it.",
                    ),
                ),
                (
                    "regions",
                    ArrayField(
                        models.CharField(max_length=40),
                        verbose_name="Allowed regions",
                        blank=True,
                        default=list,
                        help_text="Such as eu, us-east-1. Empty: any. Models offered elsewhere cannot be requested.",
                    ),
                ),
                (
                    "answer_storage",
                    models.CharField(
                        "Stored answers",
                        max_length=8,
                        default="off",
                        choices=[("off", "Never"), ("on", "Unless a call says no")],
                        help_text="Whether providers may keep the answers to calls of the Responses API, so "
                        "that later calls can refer to them. They keep prompts and answers for as long as "
                        "their own rules say.",
                    ),
                ),
                (
                    "degrading",
                    models.CharField(
                        "Smaller models",
                        max_length=8,
                        default="off",
                        db_default="off",
                        choices=[
                            ("off", "Never"),
                            ("on", "When a money limit or a latency goal is passed"),
                        ],
                        help_text="Whether a smaller model may answer calls where operators set so for a "
                        "model: only models that are granted to the project. Each such answer says so in a "
                        "header.",
                    ),
                ),
                (
                    "suspended_at",
                    models.DateTimeField(
                        blank=True, null=True, editable=False, verbose_name="suspended since"
                    ),
                ),
                (
                    "suspended_reason",
                    LineField(
                        max_length=500, blank=True, editable=False, verbose_name="reason of the suspension"
                    ),
                ),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
            ],
            options={
                "verbose_name": "tenant",
                "verbose_name_plural": "tenants",
                "ordering": ["name"],
                "permissions": [
                    ("request_access", "Ask for model access"),
                    ("claim_key", "Claim a key"),
                    ("revoke_key", "Revoke a key"),
                    ("view_cost", "See costs"),
                    ("export_cost", "Export costs"),
                    ("manage_tenant", "Change settings"),
                    ("manage_members", "Manage members"),
                    ("manage_owners", "Manage owners"),
                    ("manage_projects", "Manage projects"),
                    ("manage_service_accounts", "Manage service accounts"),
                    ("manage_tokens", "Revoke tokens"),
                    ("manage_limits", "Change limits"),
                    ("view_audit", "Read the audit log"),
                    ("export_audit", "Export the audit log"),
                    ("propose_closing", "Propose to close the tenant"),
                    ("create_tenant", "Create tenants"),
                    ("suspend_tenant", "Suspend tenants"),
                    ("confirm_closing", "Confirm that a tenant closes"),
                    ("open_emergency_access", "Open emergency access"),
                    ("review_emergency_access", "Review emergency access of others"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        name="tenant_name_is_one_line", condition=Q(OneLine(models.F("name")))
                    ),
                    models.CheckConstraint(
                        name="tenant_cost_centre_is_one_line", condition=Q(OneLine(models.F("cost_centre")))
                    ),
                    models.CheckConstraint(
                        name="tenant_suspended_reason_is_one_line",
                        condition=Q(OneLine(models.F("suspended_reason"))),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            "Project",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("tenant", models.ForeignKey("tenants.tenant", models.PROTECT, verbose_name="tenant")),
                (
                    "slug",
                    models.SlugField(
                        "Slug",
                        max_length=60,
                        help_text="Used in reports and addresses, such as letters. It cannot be changed later.",
                    ),
                ),
                ("name", NameField("Name", max_length=120)),
                (
                    "cost_centre",
                    NameField("Cost centre", max_length=60, blank=True, help_text="Empty: the tenant's."),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.PROTECT,
                        verbose_name="Owner",
                        blank=True,
                        null=True,
                        related_name="+",
                    ),
                ),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
            ],
            options={
                "verbose_name": "project",
                "verbose_name_plural": "projects",
                "ordering": ["name"],
                "permissions": [
                    ("request_access", "Ask for model access"),
                    ("claim_key", "Claim a key"),
                    ("revoke_key", "Revoke a key"),
                    ("manage_limits", "Change limits"),
                    ("manage_projects", "Manage the project"),
                ],
                "indexes": [
                    models.Index(Collate("name", "C"), name="project_name_prefix"),
                    models.Index(Collate("slug", "C"), name="project_slug_prefix"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        name="project_name_is_one_line", condition=Q(OneLine(models.F("name")))
                    ),
                    models.CheckConstraint(
                        name="project_cost_centre_is_one_line", condition=Q(OneLine(models.F("cost_centre")))
                    ),
                    models.UniqueConstraint(name="project_slug_unique_in_tenant", fields=("tenant", "slug")),
                    models.UniqueConstraint(name="project_of_tenant", fields=("tenant", "id")),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
        migrations.CreateModel(
            "Membership",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                (
                    "tenant",
                    models.ForeignKey(
                        "tenants.tenant", models.PROTECT, related_name="memberships", verbose_name="tenant"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.CASCADE,
                        related_name="memberships",
                        verbose_name="user",
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        max_length=10,
                        choices=ROLES,
                        verbose_name="role",
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        max_length=6,
                        default="person",
                        choices=[("person", "Given by a person"), ("group", "Given by a group mapping")],
                    ),
                ),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
            ],
            options={
                "verbose_name": "membership",
                "verbose_name_plural": "memberships",
                "constraints": [
                    models.UniqueConstraint(name="membership_one_role_per_tenant", fields=("tenant", "user")),
                    models.UniqueConstraint(name="membership_of_tenant", fields=("tenant", "id")),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
        migrations.CreateModel(
            "ProjectRole",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("tenant", models.ForeignKey("tenants.tenant", models.PROTECT, verbose_name="tenant")),
                (
                    "membership",
                    models.ForeignKey("tenants.membership", models.CASCADE, related_name="project_roles"),
                ),
                ("project", models.ForeignKey("tenants.project", models.CASCADE, related_name="roles")),
                (
                    "role",
                    models.CharField(
                        max_length=10,
                        choices=ROLES,
                    ),
                ),
                ("created_at", models.DateTimeField(default=now, editable=False)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(name="project_role_once", fields=("membership", "project")),
                    models.CheckConstraint(name="project_role_is_not_owner", condition=~Q(role="owner")),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
        migrations.CreateModel(
            "Invitation",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("tenant", models.ForeignKey("tenants.tenant", models.PROTECT, verbose_name="tenant")),
                ("email", AddressField(max_length=254)),
                (
                    "role",
                    models.CharField(
                        max_length=10,
                        choices=ROLES,
                    ),
                ),
                ("digest", models.CharField(max_length=64, unique=True, editable=False)),
                ("invited_by", models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")),
                ("created_at", models.DateTimeField(default=now, editable=False)),
                ("expires_at", models.DateTimeField()),
                ("sent_at", models.DateTimeField(null=True)),
                ("mail_problem", models.CharField(max_length=200, blank=True)),
                ("accepted_at", models.DateTimeField(null=True)),
                (
                    "accepted_by",
                    models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"),
                ),
                ("withdrawn_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        name="invitation_one_open_each",
                        fields=("tenant", "email"),
                        condition=Q(accepted_at=None, withdrawn_at=None),
                    ),
                    models.CheckConstraint(
                        name="invitation_email_is_address",
                        condition=Q(email="") | Q(IsAddress(models.F("email"))),
                    ),
                    models.CheckConstraint(
                        name="invitation_accepted_by_somebody",
                        condition=Q(accepted_at__isnull=True) | Q(accepted_by__isnull=False),
                    ),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
        migrations.CreateModel(
            "ApiKey",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("tenant", models.ForeignKey("tenants.tenant", models.PROTECT, verbose_name="tenant")),
                (
                    "project",
                    models.ForeignKey(
                        "tenants.project", models.PROTECT, related_name="keys", verbose_name="project"
                    ),
                ),
                ("name", NameField(max_length=80, verbose_name="name")),
                (
                    "model_names",
                    ArrayField(models.CharField(max_length=120), default=list, verbose_name="models"),
                ),
                (
                    "networks",
                    ArrayField(
                        models.CharField(max_length=43),
                        blank=True,
                        default=list,
                        verbose_name="allowed networks",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        max_length=10,
                        default="claimable",
                        choices=[
                            ("claimable", "Ready to claim"),
                            ("active", "Active"),
                            ("revoked", "Revoked"),
                        ],
                        verbose_name="state",
                    ),
                ),
                ("prefix", models.CharField(max_length=12, blank=True, verbose_name="key begins with")),
                ("digest", models.CharField(max_length=64, unique=True, null=True, editable=False)),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
                (
                    "created_for",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.PROTECT,
                        null=True,
                        related_name="+",
                        verbose_name="created for",
                    ),
                ),
                ("claim_by", models.DateTimeField(null=True, verbose_name="claim by")),
                ("claimed_at", models.DateTimeField(null=True, verbose_name="claimed")),
                (
                    "claimed_by",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.PROTECT,
                        null=True,
                        related_name="+",
                        verbose_name="claimed by",
                    ),
                ),
                ("expires_at", models.DateTimeField(null=True, verbose_name="expires")),
                (
                    "owner",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.PROTECT,
                        null=True,
                        related_name="+",
                        verbose_name="owner",
                    ),
                ),
                ("suspended_at", models.DateTimeField(null=True, verbose_name="suspended since")),
                (
                    "suspended_reason",
                    LineField(max_length=200, blank=True, verbose_name="reason of the suspension"),
                ),
                ("revoked_at", models.DateTimeField(null=True, verbose_name="revoked at")),
                ("last_used_at", models.DateTimeField(null=True, verbose_name="last used")),
            ],
            options={
                "verbose_name": "key",
                "verbose_name_plural": "keys",
                "indexes": [
                    models.Index(name="api_key_tenant_newest", fields=["tenant", "-created_at"]),
                    models.Index(Collate("name", "C"), name="api_key_name_prefix"),
                    models.Index(Collate("prefix", "C"), name="api_key_prefix_prefix"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        name="api_key_has_digest_once_claimed",
                        condition=Q(digest__isnull=True, state="claimable")
                        | Q(claimed_at__isnull=False, digest__isnull=False, state="active")
                        | Q(revoked_at__isnull=False, state="revoked"),
                    ),
                    models.UniqueConstraint(name="api_key_of_tenant", fields=("tenant", "id")),
                    models.CheckConstraint(
                        name="api_key_name_is_one_line", condition=Q(OneLine(models.F("name")))
                    ),
                    models.CheckConstraint(
                        name="api_key_suspended_reason_is_one_line",
                        condition=Q(OneLine(models.F("suspended_reason"))),
                    ),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
        migrations.CreateModel(
            "Limit",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("tenant", models.ForeignKey("tenants.tenant", models.PROTECT, verbose_name="tenant")),
                (
                    "project",
                    models.ForeignKey(
                        "tenants.project",
                        models.CASCADE,
                        blank=True,
                        null=True,
                        related_name="limits",
                        verbose_name="project",
                    ),
                ),
                (
                    "key",
                    models.ForeignKey(
                        "tenants.apikey",
                        models.CASCADE,
                        blank=True,
                        null=True,
                        related_name="limits",
                        verbose_name="key",
                    ),
                ),
                ("model", models.CharField(max_length=120, blank=True, verbose_name="model")),
                (
                    "kind",
                    models.CharField(
                        max_length=20,
                        choices=[
                            ("requests_per_minute", "Requests per minute"),
                            ("tokens_per_minute", "Tokens per minute"),
                            ("concurrent_calls", "Concurrent calls"),
                            ("tokens_per_day", "Tokens per day"),
                            ("tokens_per_month", "Tokens per month"),
                            ("money_per_month", "Money per month"),
                        ],
                        verbose_name="kind",
                    ),
                ),
                ("value", models.DecimalField(max_digits=20, decimal_places=8, verbose_name="value")),
                ("is_hard", models.BooleanField(default=True, verbose_name="hard limit")),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
            ],
            options={
                "verbose_name": "limit",
                "verbose_name_plural": "limits",
                "indexes": [
                    models.Index(Collate("model", "C"), name="limit_model_prefix"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        name="limit_one_of_a_kind",
                        fields=("tenant", "project", "key", "model", "kind"),
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(name="limit_is_positive", condition=Q(value__gt=0)),
                    models.CheckConstraint(
                        name="limit_counts_are_whole",
                        condition=Q(kind="money_per_month") | Q(value=Floor(models.F("value"))),
                    ),
                    models.CheckConstraint(
                        name="limit_on_project_or_key_not_both",
                        condition=Q(project__isnull=True) | Q(key__isnull=True),
                    ),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
    ]
