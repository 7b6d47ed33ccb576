"""People and service accounts: how they sign in, their sessions, and the staff roles they hold."""

from django.conf import settings
from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Collate
from django.utils.timezone import now

from core.addresses import AddressField, IsAddress
from core.ids import uuid7
from core.names import NameField, OneLine


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            "User",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("password", models.CharField(verbose_name="password", max_length=128)),
                ("last_login", models.DateTimeField(verbose_name="last login", blank=True, null=True)),
                (
                    "is_superuser",
                    models.BooleanField(
                        verbose_name="superuser status",
                        default=False,
                        help_text="Designates that this user has all permissions without explicitly assigning them.",
                    ),
                ),
                (
                    "is_staff",
                    models.BooleanField(
                        verbose_name="staff status",
                        default=False,
                        help_text="Designates whether the user can log into this admin site.",
                    ),
                ),
                (
                    "is_active",
                    models.BooleanField(
                        verbose_name="active",
                        default=True,
                        help_text="Designates whether this user should be treated as active. Unselect this instead of deleting accounts.",
                    ),
                ),
                ("date_joined", models.DateTimeField(verbose_name="date joined", default=now)),
                ("email", AddressField(verbose_name="e-mail address", max_length=254, unique=True)),
                ("name", NameField(verbose_name="name", max_length=150, blank=True)),
                ("external_id", models.CharField(max_length=200, blank=True, db_index=True)),
                (
                    "responsible",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.PROTECT,
                        blank=True,
                        null=True,
                        related_name="answers_for",
                    ),
                ),
                ("erased_at", models.DateTimeField(null=True, editable=False)),
                ("language", models.CharField(max_length=16, blank=True)),
                (
                    "groups",
                    models.ManyToManyField(
                        "auth.group",
                        verbose_name="groups",
                        blank=True,
                        help_text="The groups this user belongs to. A user will get all permissions granted to each of their groups.",
                        related_name="user_set",
                        related_query_name="user",
                    ),
                ),
                (
                    "user_permissions",
                    models.ManyToManyField(
                        "auth.permission",
                        verbose_name="user permissions",
                        blank=True,
                        help_text="Specific permissions for this user.",
                        related_name="user_set",
                        related_query_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "user",
                "verbose_name_plural": "users",
                "permissions": [
                    ("erase_person", "Export and erase personal data"),
                    ("manage_people", "Deactivate and reactivate people"),
                ],
                "indexes": [
                    models.Index(Collate("email", "C"), name="user_email_prefix"),
                    models.Index(Collate("name", "C"), name="user_name_prefix"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        name="user_email_is_address", condition=Q(email="") | Q(IsAddress(models.F("email")))
                    ),
                    models.CheckConstraint(
                        name="user_name_is_one_line", condition=Q(OneLine(models.F("name")))
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            "SecondFactor",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                (
                    "user",
                    models.OneToOneField(
                        settings.AUTH_USER_MODEL, models.CASCADE, related_name="second_factor"
                    ),
                ),
                ("secret", models.BinaryField()),
                ("last_step", models.BigIntegerField()),
                ("failures", models.PositiveSmallIntegerField(default=0)),
                ("refused_until", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(default=now, editable=False)),
                ("used_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            "RecoveryCode",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                (
                    "second_factor",
                    models.ForeignKey("accounts.secondfactor", models.CASCADE, related_name="recovery_codes"),
                ),
                ("digest", models.CharField(max_length=64, editable=False)),
                ("used_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(name="recovery_code_once", fields=("second_factor", "digest")),
                ],
            },
        ),
        migrations.CreateModel(
            "Session",
            fields=[
                (
                    "session_key",
                    models.CharField(
                        verbose_name="session key", primary_key=True, max_length=40, serialize=False
                    ),
                ),
                ("session_data", models.TextField(verbose_name="session data")),
                ("expire_date", models.DateTimeField(verbose_name="expire date", db_index=True)),
                (
                    "user",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="sessions"
                    ),
                ),
                ("created_at", models.DateTimeField(default=now, editable=False)),
                ("seen_at", models.DateTimeField(default=now)),
                ("address", models.GenericIPAddressField(null=True)),
                ("user_agent", models.CharField(max_length=300, blank=True)),
                ("issuer", models.CharField(max_length=300, blank=True)),
                ("subject", models.CharField(max_length=255, blank=True)),
                ("provider_session", models.CharField(max_length=255, blank=True)),
                ("has_second_factor", models.BooleanField(default=False)),
            ],
            options={
                "verbose_name": "session",
                "verbose_name_plural": "sessions",
                "indexes": [
                    models.Index(name="session_of_provider", fields=["issuer", "provider_session"]),
                    models.Index(name="session_of_subject", fields=["issuer", "subject"]),
                ],
            },
        ),
        migrations.CreateModel(
            "StaffRoleAssignment",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                (
                    "user",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.CASCADE,
                        related_name="staff_role_assignments",
                        verbose_name="user",
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        max_length=30,
                        choices=[
                            ("operator", "Operator"),
                            ("security-reviewer", "Security reviewer"),
                            ("compliance-reviewer", "Compliance reviewer"),
                            ("cost-reviewer", "Cost reviewer"),
                            ("controller", "Controller"),
                            ("auditor", "Auditor"),
                        ],
                        verbose_name="role",
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        max_length=6,
                        default="person",
                        choices=[("person", "Given by a person"), ("group", "Given by a group mapping")],
                        verbose_name="source",
                    ),
                ),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
            ],
            options={
                "verbose_name": "staff role assignment",
                "verbose_name_plural": "staff role assignments",
                "permissions": [("assign_staff_role", "Give and take staff roles")],
                "constraints": [
                    models.UniqueConstraint(name="staff_role_assignment_once", fields=("user", "role")),
                ],
            },
        ),
        migrations.CreateModel(
            "IdempotencyRecord",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("user", models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")),
                ("key", models.CharField(max_length=200)),
                ("digest", models.CharField(max_length=64)),
                ("status", models.PositiveSmallIntegerField()),
                ("body", models.JSONField()),
                ("at", models.DateTimeField(default=now, editable=False)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(name="idempotency_record_once", fields=("user", "key")),
                ],
            },
        ),
    ]
