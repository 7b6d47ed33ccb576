"""Data from the organization's directory: groups, their members, and the roles that groups give."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import CheckConstraint, F, Index, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import StaffRole
from core.ids import uuid7
from core.names import NameField, one_line
from core.reading import Noted
from directory.querysets import GroupMappingQuerySet
from tenants.models.tenancy import Tenant
from tenants.roles import Role


class GroupMapping(Noted):
    """Gives members of a directory group, identified by its name in the directory, a role in a tenant or as staff.

    A mapping is never edited: it ends and another begins. It never raises the role of `created_by`. An ended mapping
    stays until everyone it concerned has been checked (`applied_at`), so that a lost message leaves nobody with a role
    that it gave.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    group = NameField(_("group"), max_length=200)
    tenant = models.ForeignKey(Tenant, models.CASCADE, null=True, blank=True, related_name="group_mappings")
    role = models.CharField(_("role"), max_length=10, choices=Role, blank=True)
    staff_role = models.CharField(_("staff role"), max_length=30, choices=StaffRole, blank=True)
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", editable=False)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)
    # When everyone it concerns had been checked.
    applied_at = models.DateTimeField(_("applied"), null=True, editable=False)

    objects = GroupMappingQuerySet.as_manager()

    class Meta:
        verbose_name = _("group mapping")
        verbose_name_plural = _("group mappings")
        constraints = [
            UniqueConstraint(
                fields=["group", "tenant", "staff_role"],
                name="group_mapping_once",
                nulls_distinct=False,
                condition=Q(ended_at=None),
            ),
            one_line("group", of="group_mapping"),
            CheckConstraint(
                name="group_mapping_gives_one_role",
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
    # As the directory writes it.
    display_name = models.CharField(_("display name"), max_length=200, unique=True)
    external_id = models.CharField(_("external ID"), max_length=200, blank=True, db_index=True)
    members = models.ManyToManyField(User, related_name="directory_groups", blank=True)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)
    changed_at = models.DateTimeField(_("changed at"), default=now, editable=False)

    class Meta:
        verbose_name = _("directory group")
        verbose_name_plural = _("directory groups")
        constraints = [one_line("display_name", of="directory_group")]

    def __str__(self) -> str:
        return self.display_name


class DirectoryPerson(models.Model):
    """What the directory says about a person beyond the fields of User; created when it first mentions them."""

    user = models.OneToOneField(
        User, models.CASCADE, primary_key=True, related_name="directory_entry", editable=False
    )
    given_name = NameField(max_length=150, blank=True)
    family_name = NameField(max_length=150, blank=True)
    formatted_name = NameField(max_length=150, blank=True)
    display_name = NameField(max_length=150, blank=True)
    # Set only if it differs from the address they sign in with.
    work_email = models.EmailField(blank=True)
    created_at = models.DateTimeField(default=now, editable=False)
    changed_at = models.DateTimeField(default=now, editable=False)
    # When the directory deleted them; it no longer sees them.
    removed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "directory people"
        constraints = [
            one_line(name, of="directory_person")
            for name in ("given_name", "family_name", "formatted_name", "display_name")
        ]

    def __str__(self) -> str:
        return f"Directory entry of {self.user}"


class GroupMappingsDue(models.Model):
    """A person whose groups changed and whose roles must still be computed: the row behind a task's message."""

    user = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="+")
    reason = models.CharField(max_length=200)
    since = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name_plural = "group mappings due"

    def __str__(self) -> str:
        return f"Roles of {self.user}"


class ScimToken(models.Model):
    """The directory's bearer secret for /scim/v2/ (`qms_…`); shown once, stored as a digest.

    It opens nothing until someone other than its issuer confirms it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = NameField(_("name"), max_length=80)
    prefix = models.CharField(_("token begins with"), max_length=12)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)
    # Null: issued by the platform, or by an administrator who was alone.
    made_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("created by"), null=True, related_name="+", editable=False
    )
    confirmed_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("confirmed by"), null=True, related_name="+", editable=False
    )
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, editable=False)
    replaces = models.ForeignKey(
        "self", models.PROTECT, verbose_name=_("replaces"), null=True, related_name="+", editable=False
    )
    expires_at = models.DateTimeField(_("expires"))
    last_used_at = models.DateTimeField(_("last used"), null=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True)

    class Meta:
        verbose_name = _("directory token")
        verbose_name_plural = _("directory tokens")
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


class FederatedIdentity(Noted):
    """A person as their OpenID provider knows them: (issuer, subject) never changes, but an address can."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, models.CASCADE, verbose_name=_("user"), related_name="identities")
    issuer = models.CharField(_("issuer"), max_length=300)
    subject = models.CharField(_("subject"), max_length=255)
    # As of `checked_at`.
    groups = ArrayField(models.CharField(max_length=200), verbose_name=_("groups"), default=list)
    checked_at = models.DateTimeField(_("checked"), null=True)
    # When a worker started to ask the provider.
    claimed_at = models.DateTimeField(null=True, editable=False)
    # When the provider stopped vouching for them.
    refused_at = models.DateTimeField(_("refused"), null=True, editable=False)
    # Encrypted; for the periodic check.
    refresh_token = models.BinaryField(null=True, editable=False)
    signed_in_at = models.DateTimeField(_("signed in"), null=True)

    person_column = "user_id"

    class Meta:
        verbose_name = _("federated identity")
        verbose_name_plural = _("federated identities")
        constraints = [UniqueConstraint(fields=["issuer", "subject"], name="federated_identity_once")]
        indexes = [
            Index(
                fields=["checked_at"],
                name="federated_identity_to_check",
                condition=Q(refresh_token__isnull=False),
            ),
            GinIndex(fields=["groups"], name="federated_identity_groups"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} at {self.issuer}"


class SpentLogoutToken(models.Model):
    """A logout token of the provider that has been used. It is rejected if it comes again before it has expired."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    issuer = models.CharField(max_length=300)
    jti = models.CharField(max_length=255)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [UniqueConstraint(fields=["issuer", "jti"], name="logout_token_spent_once")]

    def __str__(self) -> str:
        return f"{self.jti} of {self.issuer}"
