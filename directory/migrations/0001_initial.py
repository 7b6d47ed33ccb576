"""What the company's directory says of people and groups, and the roles that follow from it."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import migrations, models
from django.db.models import Q
from django.utils.timezone import now

from core.ids import uuid7
from core.names import NameField, OneLine


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            "FederatedIdentity",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                (
                    "user",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.CASCADE,
                        related_name="identities",
                        verbose_name="user",
                    ),
                ),
                ("issuer", models.CharField(max_length=300, verbose_name="issuer")),
                ("subject", models.CharField(max_length=255, verbose_name="subject")),
                ("groups", ArrayField(models.CharField(max_length=200), default=list, verbose_name="groups")),
                ("checked_at", models.DateTimeField(null=True, verbose_name="checked")),
                ("claimed_at", models.DateTimeField(null=True, editable=False)),
                ("refused_at", models.DateTimeField(null=True, editable=False, verbose_name="refused")),
                ("refresh_token", models.BinaryField(null=True)),
                ("signed_in_at", models.DateTimeField(null=True, verbose_name="signed in")),
            ],
            options={
                "verbose_name": "federated identity",
                "verbose_name_plural": "federated identities",
                "indexes": [
                    models.Index(
                        name="federated_identity_to_check",
                        fields=["checked_at"],
                        condition=Q(refresh_token__isnull=False),
                    ),
                    GinIndex(name="federated_identity_groups", fields=["groups"]),
                ],
                "constraints": [
                    models.UniqueConstraint(name="federated_identity_once", fields=("issuer", "subject")),
                ],
            },
        ),
        migrations.CreateModel(
            "SpentLogoutToken",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("issuer", models.CharField(max_length=300)),
                ("jti", models.CharField(max_length=255)),
                ("expires_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(name="logout_token_spent_once", fields=("issuer", "jti")),
                ],
            },
        ),
        migrations.CreateModel(
            "DirectoryPerson",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        settings.AUTH_USER_MODEL,
                        models.CASCADE,
                        primary_key=True,
                        editable=False,
                        serialize=False,
                        related_name="directory_entry",
                    ),
                ),
                ("given_name", NameField(max_length=150, blank=True)),
                ("family_name", NameField(max_length=150, blank=True)),
                ("formatted_name", NameField(max_length=150, blank=True)),
                ("display_name", NameField(max_length=150, blank=True)),
                ("work_email", models.EmailField(max_length=254, blank=True)),
                ("created_at", models.DateTimeField(default=now, editable=False)),
                ("changed_at", models.DateTimeField(default=now, editable=False)),
                ("removed_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name_plural": "directory people",
                "constraints": [
                    models.CheckConstraint(
                        name="directory_person_given_name_is_one_line",
                        condition=Q(OneLine(models.F("given_name"))),
                    ),
                    models.CheckConstraint(
                        name="directory_person_family_name_is_one_line",
                        condition=Q(OneLine(models.F("family_name"))),
                    ),
                    models.CheckConstraint(
                        name="directory_person_formatted_name_is_one_line",
                        condition=Q(OneLine(models.F("formatted_name"))),
                    ),
                    models.CheckConstraint(
                        name="directory_person_display_name_is_one_line",
                        condition=Q(OneLine(models.F("display_name"))),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            "DirectoryGroup",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("display_name", models.CharField(max_length=200, unique=True, verbose_name="display name")),
                (
                    "external_id",
                    models.CharField(max_length=200, blank=True, db_index=True, verbose_name="external ID"),
                ),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
                ("changed_at", models.DateTimeField(default=now, editable=False, verbose_name="changed at")),
                (
                    "members",
                    models.ManyToManyField(
                        settings.AUTH_USER_MODEL, blank=True, related_name="directory_groups"
                    ),
                ),
            ],
            options={
                "verbose_name": "directory group",
                "verbose_name_plural": "directory groups",
                "constraints": [
                    models.CheckConstraint(
                        name="directory_group_display_name_is_one_line",
                        condition=Q(OneLine(models.F("display_name"))),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            "GroupMapping",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("group", NameField(max_length=200, verbose_name="group")),
                (
                    "tenant",
                    models.ForeignKey(
                        "tenants.tenant", models.CASCADE, blank=True, null=True, related_name="group_mappings"
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        max_length=10,
                        blank=True,
                        choices=[
                            ("owner", "Owner"),
                            ("admin", "Admin"),
                            ("developer", "Developer"),
                            ("finance", "Finance"),
                            ("viewer", "Viewer"),
                        ],
                        verbose_name="role",
                    ),
                ),
                (
                    "staff_role",
                    models.CharField(
                        max_length=30,
                        blank=True,
                        choices=[
                            ("operator", "Operator"),
                            ("security-reviewer", "Security reviewer"),
                            ("compliance-reviewer", "Compliance reviewer"),
                            ("cost-reviewer", "Cost reviewer"),
                            ("controller", "Controller"),
                            ("auditor", "Auditor"),
                        ],
                        verbose_name="staff role",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+"
                    ),
                ),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
                ("ended_at", models.DateTimeField(null=True, editable=False)),
                ("applied_at", models.DateTimeField(null=True, editable=False, verbose_name="applied")),
            ],
            options={
                "verbose_name": "group mapping",
                "verbose_name_plural": "group mappings",
                "constraints": [
                    models.UniqueConstraint(
                        name="group_mapping_once",
                        fields=("group", "tenant", "staff_role"),
                        condition=Q(ended_at=None),
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        name="group_mapping_group_is_one_line", condition=Q(OneLine(models.F("group")))
                    ),
                    models.CheckConstraint(
                        name="group_mapping_gives_one_role",
                        condition=Q(tenant__isnull=False) & ~Q(role="") & Q(staff_role="")
                        | Q(tenant__isnull=True) & Q(role="") & ~Q(staff_role=""),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            "GroupMappingsDue",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        settings.AUTH_USER_MODEL,
                        models.CASCADE,
                        primary_key=True,
                        serialize=False,
                        related_name="+",
                    ),
                ),
                ("reason", models.CharField(max_length=200)),
                ("since", models.DateTimeField(default=now, editable=False)),
            ],
            options={
                "verbose_name_plural": "group mappings due",
            },
        ),
        migrations.CreateModel(
            "ScimToken",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("name", NameField(max_length=80, verbose_name="name")),
                ("prefix", models.CharField(max_length=12, verbose_name="token begins with")),
                ("digest", models.CharField(max_length=64, unique=True, editable=False)),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
                (
                    "made_by",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.PROTECT,
                        null=True,
                        editable=False,
                        related_name="+",
                        verbose_name="created by",
                    ),
                ),
                (
                    "confirmed_by",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.PROTECT,
                        null=True,
                        editable=False,
                        related_name="+",
                        verbose_name="confirmed by",
                    ),
                ),
                ("confirmed_at", models.DateTimeField(null=True, editable=False, verbose_name="confirmed")),
                (
                    "replaces",
                    models.ForeignKey(
                        "directory.scimtoken",
                        models.PROTECT,
                        null=True,
                        editable=False,
                        related_name="+",
                        verbose_name="replaces",
                    ),
                ),
                ("expires_at", models.DateTimeField(verbose_name="expires")),
                ("last_used_at", models.DateTimeField(null=True, verbose_name="last used")),
                ("revoked_at", models.DateTimeField(null=True, verbose_name="revoked at")),
            ],
            options={
                "verbose_name": "directory token",
                "verbose_name_plural": "directory tokens",
                "permissions": [("manage_directory", "Manage the directory's tokens")],
                "constraints": [
                    models.CheckConstraint(
                        name="scim_token_name_is_one_line", condition=Q(OneLine(models.F("name")))
                    ),
                    models.CheckConstraint(
                        name="scim_token_takes_two",
                        condition=Q(confirmed_at__isnull=True, confirmed_by__isnull=True)
                        | Q(confirmed_at__isnull=False, made_by__isnull=True)
                        | Q(confirmed_at__isnull=False, confirmed_by__isnull=False)
                        & ~Q(confirmed_by=models.F("made_by")),
                    ),
                ],
            },
        ),
    ]
