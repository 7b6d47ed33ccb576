"""Tenants, their projects, and who belongs to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import CheckConstraint, F, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import Source, User
from core.addresses import AddressField, is_address
from core.ids import uuid7
from core.names import LineField, NameField, SkeletonField, one_line
from core.prefix import prefix_index
from core.reading import Noted
from core.stored_labels import StoredLabel, of_choices
from core.tenant_managers import TenantOwned
from tenants.querysets import InvitationQuerySet, TenantListQuerySet
from tenants.roles import PROJECT_ROLES, Role

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


class DataClass(models.TextChoices):
    """How sensitive data is, in ascending order; `rank` compares."""

    PUBLIC = "public", _("Public")
    INTERNAL = "internal", _("Internal")
    CONFIDENTIAL = "confidential", _("Confidential")
    RESTRICTED = "restricted", _("Restricted")

    @property
    def rank(self) -> int:
        return list(DataClass).index(self)

    @property
    def and_lower(self) -> list[DataClass]:
        """The classes of data that whoever may receive this one may receive."""
        return list(DataClass)[: self.rank + 1]


class Tenant(Noted):
    """A customer or department; nobody outside sees its data."""

    tenant_column = "id"
    # What people edit. Forms, API, admin page and audit entries follow this list; see CONTRIBUTING.md.
    EDITABLE: ClassVar[tuple[str, ...]] = (
        "name",
        "cost_centre",
        "timezone",
        "currency",
        "regions",
        "highest_data_class",
        "answer_storage",
        "degrading",
    )

    class AnswerStorage(models.TextChoices):
        OFF = "off", _("Never")
        ON = "on", _("Unless a call says no")

    class Degrading(models.TextChoices):
        OFF = "off", _("Never")
        ON = "on", _("When a money limit or a latency goal is passed")

    class Status(models.TextChoices):
        ACTIVE = "active", _("Active")
        SUSPENDED = "suspended", _("Suspended")
        CLOSED = "closed", pgettext_lazy("a tenant", "Closed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(_("identifier"), unique=True, max_length=60)
    name = NameField(_("Name"), max_length=120)
    # Unique, so that no two names look alike.
    name_skeleton = SkeletonField(max_length=600, unique=True, null=True, editable=False)
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.ACTIVE)
    currency = models.CharField(
        _("Billing currency"),
        max_length=3,
        default="USD",
        validators=[RegexValidator(r"^[A-Z]{3}$")],
        help_text=_("Three letters, such as EUR. It cannot be changed once there is usage."),
    )
    timezone = models.CharField(
        _("Time zone"),
        max_length=64,
        default="UTC",
        help_text=_(
            "An IANA name, such as Europe/Berlin. Days and months, and the limits that count by them, "
            "begin in this time zone."
        ),
    )
    cost_centre = NameField(
        _("Cost centre"),
        max_length=60,
        blank=True,
        help_text=_("Cost reports show it where a project has none of its own."),
    )
    highest_data_class = models.CharField(
        _("Highest data class"),
        max_length=12,
        choices=DataClass,
        default=DataClass.INTERNAL,
        help_text=_(
            "Nobody in the tenant can request to send more sensitive data to a model. Only operators can "
            "raise it."
        ),
    )
    regions = ArrayField(
        models.CharField(max_length=40),
        verbose_name=_("Allowed regions"),
        default=list,
        blank=True,
        help_text=_("Such as eu, us-east-1. Empty: any. Models offered elsewhere cannot be requested."),
    )
    answer_storage = models.CharField(
        _("Stored answers"),
        max_length=8,
        choices=AnswerStorage,
        default=AnswerStorage.OFF,
        help_text=_(
            "Whether providers may keep the answers to calls of the Responses API, so that later calls can "
            "refer to them. They keep prompts and answers for as long as their own rules say."
        ),
    )
    degrading = models.CharField(
        _("Smaller models"),
        max_length=8,
        choices=Degrading,
        default=Degrading.OFF,
        db_default=Degrading.OFF,
        help_text=_(
            "Whether a smaller model may answer calls where operators set so for a model: only models that "
            "are granted to the project. Each such answer says so in a header."
        ),
    )
    suspended_at = models.DateTimeField(_("suspended since"), null=True, blank=True, editable=False)
    suspended_reason = LineField(_("reason of the suspension"), max_length=500, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)

    objects = TenantListQuerySet.as_manager()

    class Meta:
        verbose_name = _("tenant")
        verbose_name_plural = _("tenants")
        ordering = ["name"]
        constraints = [one_line(name, of="tenant") for name in ("name", "cost_centre", "suspended_reason")]
        # tenants/roles.py assigns these to roles.
        permissions = [
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
        ]

    def __str__(self) -> str:
        return self.name


class Project(TenantOwned):
    """A team or application inside a tenant; owns keys, grants and budgets."""

    # What people edit. Forms, API, admin pages and audit entries follow this list; see CONTRIBUTING.md.
    EDITABLE: ClassVar[tuple[str, ...]] = ("name", "cost_centre", "purchase_order", "owner")
    # The fields by which finance books costs: columns of the list of projects and of the cost report.
    ACCOUNTING: ClassVar[tuple[str, ...]] = ("cost_centre", "purchase_order")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(
        _("Slug"),
        max_length=60,
        help_text=_("Used in reports and addresses, such as letters. It cannot be changed later."),
    )
    name = NameField(_("Name"), max_length=120)
    cost_centre = NameField(_("Cost centre"), max_length=60, blank=True, help_text=_("Empty: the tenant's."))
    purchase_order = NameField(
        _("Purchase order"),
        max_length=60,
        blank=True,
        default="",
        db_default="",
        help_text=_("Number of the order that pays for this project. Cost reports show it."),
    )
    owner = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("Owner"), null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(_("created"), default=now, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("project")
        verbose_name_plural = _("projects")
        ordering = ["name"]
        # Checked on the project; see PROJECT_PERMISSIONS in tenants/roles.py.
        permissions = [
            ("request_access", "Ask for model access"),
            ("claim_key", "Claim a key"),
            ("revoke_key", "Revoke a key"),
            ("manage_limits", "Change limits"),
            ("manage_projects", "Manage the project"),
        ]
        constraints = [
            *(one_line(name, of="project") for name in ("name", "cost_centre", "purchase_order")),
            UniqueConstraint(fields=["tenant", "slug"], name="project_slug_unique_in_tenant"),
            # Foreign keys of other tables refer to this pair.
            UniqueConstraint(fields=["tenant", "id"], name="project_of_tenant"),
        ]
        indexes = [prefix_index("name", "project_name_prefix"), prefix_index("slug", "project_slug_prefix")]

    def __str__(self) -> str:
        return self.name

    def accounting(self) -> list[tuple[StrOrPromise, str]]:
        """Labels and values of `ACCOUNTING`. An empty field takes the tenant's value, if tenants have such a field."""
        shared = {name: getattr(self.tenant, name) for name in Tenant.EDITABLE}
        labels = {field.name: field.verbose_name for field in self._meta.fields}
        return [(labels[name], getattr(self, name) or shared.get(name, "")) for name in self.ACCOUNTING]


_role = of_choices(lambda: Role.choices)
_MEMBERSHIP = StoredLabel("tenants.membership", _("%(who)s is %(role)s of %(where)s"), role=_role)
_PROJECT_ROLE = StoredLabel("tenants.projectrole", _("%(who)s is %(role)s of %(where)s"), role=_role)
_INVITATION = StoredLabel("tenants.invitation", _("%(email)s as %(role)s"), role=_role)
_CLOSING = StoredLabel("tenants.tenantclosing", _("Closing of %(tenant)s"))


class Membership(TenantOwned):
    """A user's role in a tenant; tenants/roles.py says what the role may do."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, verbose_name=_("tenant"), related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, verbose_name=_("user"), related_name="memberships")
    role = models.CharField(_("role"), max_length=10, choices=Role)
    source = models.CharField(max_length=6, choices=Source, default=Source.PERSON)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = [
            UniqueConstraint(fields=["tenant", "user"], name="membership_one_role_per_tenant"),
            UniqueConstraint(fields=["tenant", "id"], name="membership_of_tenant"),
            CheckConstraint(name="membership_role_is_known", condition=Q(role__in=Role.values)),
        ]

    def __str__(self) -> str:
        return _MEMBERSHIP(who=self.user, role=self.get_role_display().lower(), where=self.tenant)


class ProjectRole(TenantOwned):
    """A member's role in one project, which replaces their role in the tenant there: narrower or wider."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    membership = models.ForeignKey(Membership, models.CASCADE, related_name="project_roles")
    project = models.ForeignKey(Project, models.CASCADE, related_name="roles")
    role = models.CharField(max_length=10, choices=Role)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta(TenantOwned.Meta):
        constraints = [
            UniqueConstraint(fields=["membership", "project"], name="project_role_once"),
            CheckConstraint(name="project_role_is_known", condition=Q(role__in=PROJECT_ROLES)),
        ]

    def __str__(self) -> str:
        role = self.get_role_display().lower()
        return _PROJECT_ROLE(who=self.membership.user, role=role, where=self.project)


class Invitation(TenantOwned):
    """A tenant's offer of a role to an e-mail address. Only the mail contains the link; the row stores its digest."""

    queryset_class = InvitationQuerySet["Invitation"]

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = AddressField()
    role = models.CharField(max_length=10, choices=Role)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=now, editable=False)
    expires_at = models.DateTimeField()
    # When the mail was claimed for sending; null: not yet.
    sent_at = models.DateTimeField(null=True)
    # Why the mail could not be sent.
    mail_problem = models.CharField(max_length=200, blank=True)
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    withdrawn_at = models.DateTimeField(null=True)

    class Meta(TenantOwned.Meta):
        constraints = [
            UniqueConstraint(
                fields=["tenant", "email"],
                name="invitation_one_open_each",
                condition=Q(accepted_at=None, withdrawn_at=None),
            ),
            is_address("email", of="invitation"),
            CheckConstraint(
                name="invitation_accepted_by_somebody",
                condition=Q(accepted_at__isnull=True) | Q(accepted_by__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return _INVITATION(email=self.email, role=self.get_role_display().lower())


class TenantClosing(TenantOwned):
    """The proposal to close a tenant with its final export. Another person confirms it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    reason = LineField(_("reason"), max_length=500)
    # The final export, a row of billing.
    export_id = models.UUIDField(_("export ID"))
    export_sha256 = models.CharField(_("SHA-256 of the export"), max_length=64)
    proposed_by = models.ForeignKey(User, models.PROTECT, verbose_name=_("proposed by"), related_name="+")
    proposed_at = models.DateTimeField(_("proposed"), default=now, editable=False)
    confirmed_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("confirmed by"), null=True, related_name="+"
    )
    confirmed_at = models.DateTimeField(_("confirmed"), null=True)
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True)

    class Meta(TenantOwned.Meta):
        verbose_name = _("tenant closing")
        verbose_name_plural = _("tenant closings")
        constraints = [
            one_line("reason", of="tenant_closing"),
            UniqueConstraint(
                fields=["tenant"], name="tenant_closing_one_open", condition=Q(withdrawn_at=None)
            ),
            CheckConstraint(name="tenant_closing_takes_two", condition=~Q(confirmed_by=F("proposed_by"))),
            CheckConstraint(
                name="tenant_closing_is_open_withdrawn_or_confirmed",
                condition=Q(confirmed_by__isnull=True, confirmed_at__isnull=True)
                | Q(confirmed_by__isnull=False, confirmed_at__isnull=False, withdrawn_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return _CLOSING(tenant=self.tenant)
