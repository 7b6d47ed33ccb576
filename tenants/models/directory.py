"""What the organisation's directory says: groups, their members, and the roles that groups give."""

from __future__ import annotations

from django.db import models
from django.db.models import CheckConstraint, F, Q, UniqueConstraint
from django.utils.timezone import now

from core.ids import uuid7
from core.names import NameField, one_line
from core.reading import Noted
from tenants.models.people import User
from tenants.models.tenancy import Tenant
from tenants.querysets import GroupRuleQuerySet
from tenants.roles import Role, StaffRole


class GroupRule(Noted):
    """Members of a directory group, by the directory's name for it, get a role in a tenant or as staff.

    A rule is never edited: it ends and another begins. It raises everybody but `begun_by`. An ended rule stays until
    everybody it concerned has been looked at (`applied_at`), so that no lost message leaves somebody with what it gave.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    group = NameField(max_length=200)
    tenant = models.ForeignKey(Tenant, models.CASCADE, null=True, blank=True, related_name="group_rules")
    role = models.CharField(max_length=10, choices=Role, blank=True)
    staff_role = models.CharField(max_length=30, choices=StaffRole, blank=True)
    begun_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", editable=False)
    created_at = models.DateTimeField(default=now, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)
    applied_at = models.DateTimeField(null=True, editable=False)  # everybody it concerns has been looked at

    objects = GroupRuleQuerySet.as_manager()

    class Meta:
        constraints = [
            UniqueConstraint(
                fields=["group", "tenant", "staff_role"],
                name="group_rule_once",
                nulls_distinct=False,
                condition=Q(ended_at=None),
            ),
            one_line("group", of="group_rule"),
            CheckConstraint(
                name="group_rule_gives_one_role",
                condition=(Q(tenant__isnull=False) & ~Q(role="") & Q(staff_role=""))
                | (Q(tenant__isnull=True) & Q(role="") & ~Q(staff_role="")),
            ),
        ]

    def __str__(self) -> str:
        return (
            f"{self.group}: {self.role} of {self.tenant}"
            if self.tenant
            else f"{self.group}: {self.staff_role}"
        )


class DirectoryGroup(models.Model):
    """A group that the directory provisions over SCIM (RFC 7643, section 4.2)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    display_name = models.CharField(max_length=200, unique=True)  # as the directory writes it
    external_id = models.CharField(max_length=200, blank=True, db_index=True)
    members = models.ManyToManyField(User, related_name="directory_groups", blank=True)
    created_at = models.DateTimeField(default=now, editable=False)
    changed_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        constraints = [one_line("display_name", of="directory_group")]

    def __str__(self) -> str:
        return self.display_name


class DirectoryPerson(models.Model):
    """What the directory says of a person beyond what User holds; made when it first speaks of them."""

    user = models.OneToOneField(
        User, models.CASCADE, primary_key=True, related_name="directory_entry", editable=False
    )
    given_name = NameField(max_length=150, blank=True)
    family_name = NameField(max_length=150, blank=True)
    formatted_name = NameField(max_length=150, blank=True)
    display_name = NameField(max_length=150, blank=True)
    work_email = models.EmailField(blank=True)  # where it differs from the address they sign in with
    created_at = models.DateTimeField(default=now, editable=False)
    changed_at = models.DateTimeField(default=now, editable=False)
    removed_at = models.DateTimeField(null=True)  # deleted by the directory, to which they exist no more

    class Meta:
        verbose_name_plural = "directory people"
        permissions = [("manage_people", "Deactivate and reactivate people")]
        constraints = [
            one_line(name, of="directory_person")
            for name in ("given_name", "family_name", "formatted_name", "display_name")
        ]

    def __str__(self) -> str:
        return f"Directory entry of {self.user}"


class GroupRulesDue(models.Model):
    """Somebody whose groups changed and whose roles must still be computed: the row of a task's message."""

    user = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="+")
    because = models.CharField(max_length=200)
    since = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name_plural = "group rules due"

    def __str__(self) -> str:
        return f"Roles of {self.user}"


class ScimToken(models.Model):
    """The directory's bearer secret for /scim/v2/ (`qms_…`); shown once, stored as a digest.

    It opens nothing until it is confirmed, by somebody else than who made it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = NameField(max_length=80)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)
    made_by = models.ForeignKey(  # null: the platform, or an administrator who was alone
        User, models.PROTECT, null=True, related_name="+", editable=False
    )
    confirmed_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", editable=False)
    confirmed_at = models.DateTimeField(null=True, editable=False)
    replaces = models.ForeignKey("self", models.PROTECT, null=True, related_name="+", editable=False)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "directory token"
        permissions = [("manage_directory", "Manage the directory's tokens")]
        constraints = [
            one_line("name", of="scim_token"),
            CheckConstraint(
                name="scim_token_takes_two",
                condition=Q(confirmed_at__isnull=True, confirmed_by__isnull=True)
                | Q(confirmed_at__isnull=False) & Q(made_by__isnull=True)
                | Q(confirmed_at__isnull=False, confirmed_by__isnull=False) & ~Q(confirmed_by=F("made_by")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
