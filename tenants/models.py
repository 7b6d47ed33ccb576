"""WHO: users, tenants, projects, memberships, keys, limits, tokens, the audit trail."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import CheckConstraint, F, Index, Q, UniqueConstraint
from django.db.models.functions import Floor
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from tenants.errors import Conflict
from tenants.ids import uuid7
from tenants.querysets import ApiKeyQuerySet, TenantListQuerySet
from tenants.roles import Role, StaffRole
from tenants.scoping import TenantOwned


class DataClass(models.TextChoices):
    """How sensitive data is, in rising order; `rank` compares."""

    PUBLIC = "public", _("Public")
    INTERNAL = "internal", _("Internal")
    CONFIDENTIAL = "confidential", _("Confidential")
    RESTRICTED = "restricted", _("Restricted")

    @property
    def rank(self) -> int:
        return list(DataClass).index(self)


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, email: str | None) -> User:
        """Find a person by the address they typed: addresses are stored in small letters."""
        return self.get(email=(email or "").lower())

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):
    """A person, recognised by e-mail address. Staff roles are groups named as in StaffRole."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    username = None  # type: ignore[assignment]
    first_name = last_name = None  # type: ignore[assignment]
    email = models.EmailField(_("e-mail address"), unique=True)
    name = models.CharField(_("name"), max_length=150, blank=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.name or self.email

    def get_full_name(self) -> str:
        return str(self)

    def get_short_name(self) -> str:
        return str(self)

    @property
    def initials(self) -> str:
        words = (self.name or self.email.split("@")[0].replace(".", " ")).split()
        return "".join(word[0] for word in words[:2]).upper()

    @cached_property
    def staff_roles(self) -> frozenset[str]:
        """Names of this person's staff roles; empty for everybody who is not staff."""
        if not (self.is_staff and self.is_active):
            return frozenset()
        known = set(StaffRole.values)
        return frozenset(name for name in self.groups.values_list("name", flat=True) if name in known)

    @property
    def is_operator(self) -> bool:
        return self.is_superuser or StaffRole.OPERATOR in self.staff_roles


class Tenant(models.Model):
    """A customer or department; the wall nobody sees over."""

    class Status(models.TextChoices):
        ACTIVE = "active", _("Active")
        SUSPENDED = "suspended", _("Suspended")
        CLOSED = "closed", _("Closed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True, max_length=60)
    name = models.CharField(max_length=120)
    status = models.CharField(max_length=10, choices=Status, default=Status.ACTIVE)
    currency = models.CharField(max_length=3, default="USD", validators=[RegexValidator(r"^[A-Z]{3}$")])
    timezone = models.CharField(
        max_length=64, default="UTC", help_text=_("IANA name; days and months begin here.")
    )
    cost_centre = models.CharField(max_length=60, blank=True)
    highest_data_class = models.CharField(max_length=12, choices=DataClass, default=DataClass.INTERNAL)
    regions = ArrayField(models.CharField(max_length=40), default=list, blank=True)  # empty: any
    created_at = models.DateTimeField(default=now, editable=False)

    objects = TenantListQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        permissions = [
            ("request_access", "Ask for model access"),
            ("claim_key", "Claim a key"),
            ("revoke_key", "Revoke a key"),
            ("view_cost", "See costs"),
            ("export_cost", "Export costs"),
            ("manage_members", "Manage members"),
            ("manage_limits", "Change limits"),
            ("view_audit", "Read the audit trail"),
        ]

    def __str__(self) -> str:
        return self.name


class Project(TenantOwned):
    """A team or application inside a tenant; owns keys, grants and budgets."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=120)
    cost_centre = models.CharField(max_length=60, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta(TenantOwned.Meta):
        ordering = ["name"]
        constraints = [UniqueConstraint(fields=["tenant", "slug"], name="project_slug_unique_in_tenant")]

    def __str__(self) -> str:
        return self.name


class Membership(TenantOwned):
    """A user's role in a tenant. Its permissions come from the tenant's group for that role."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta(TenantOwned.Meta):
        constraints = [UniqueConstraint(fields=["tenant", "user"], name="membership_one_role_per_tenant")]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.tenant}"


class ApiKey(TenantOwned):
    """A bearer secret of one project. Before it is claimed there is no secret; afterwards only its digest."""

    class State(models.TextChoices):
        CLAIMABLE = "claimable", _("Ready to claim")
        ACTIVE = "active", _("Active")
        REVOKED = "revoked", _("Revoked")

    MOVES: ClassVar[dict[str, set[str]]] = {
        State.CLAIMABLE: {State.ACTIVE, State.REVOKED},
        State.ACTIVE: {State.REVOKED},
    }
    queryset_class = ApiKeyQuerySet

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, models.PROTECT, related_name="keys")
    name = models.CharField(max_length=80)
    model_names = ArrayField(models.CharField(max_length=120), default=list)  # a grant must agree
    networks = ArrayField(models.CharField(max_length=43), default=list, blank=True)  # CIDR; empty: anywhere
    state = models.CharField(max_length=10, choices=State, default=State.CLAIMABLE)
    prefix = models.CharField(max_length=12, blank=True)
    digest = models.CharField(max_length=64, unique=True, null=True, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)
    created_for = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")  # who may expect it
    claim_by = models.DateTimeField(null=True)
    claimed_at = models.DateTimeField(null=True)
    claimed_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta(TenantOwned.Meta):
        verbose_name = _("key")
        constraints = [
            CheckConstraint(
                name="api_key_has_digest_once_claimed",
                condition=Q(state="claimable", digest__isnull=True)
                | Q(state="active", digest__isnull=False, claimed_at__isnull=False)
                | Q(state="revoked", revoked_at__isnull=False),
            ),
        ]
        indexes = [Index(fields=["tenant", "-created_at"], name="api_key_tenant_newest")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)" if self.prefix else self.name

    @property
    def is_claimable(self) -> bool:
        """Whether its secret can still be made; the same as `claimable()` of the queryset."""
        return self.state == self.State.CLAIMABLE and (self.claim_by is None or self.claim_by > now())

    def move_to(self, state: str) -> None:
        """Change the state in memory. Raises Conflict if `state` cannot follow the current one."""
        if state not in self.MOVES.get(self.state, ()):
            raise Conflict(
                f"This key is {self.get_state_display().lower()}; it can no longer become {state}."
            )
        self.state = state


class Limit(TenantOwned):
    """A number on a tenant, a project or a key, for one model or all; every limit that applies is checked."""

    class Kind(models.TextChoices):
        REQUESTS_PER_MINUTE = "requests_per_minute", _("Requests per minute")
        TOKENS_PER_MINUTE = "tokens_per_minute", _("Tokens per minute")
        CONCURRENT_CALLS = "concurrent_calls", _("Concurrent calls")
        TOKENS_PER_DAY = "tokens_per_day", _("Tokens per day")
        TOKENS_PER_MONTH = "tokens_per_month", _("Tokens per month")
        MONEY_PER_MONTH = "money_per_month", _("Money per month")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, null=True, blank=True, related_name="limits")
    key = models.ForeignKey(ApiKey, models.CASCADE, null=True, blank=True, related_name="limits")
    model = models.CharField(max_length=120, blank=True)  # public name; empty: all models together
    kind = models.CharField(max_length=20, choices=Kind)
    value = models.DecimalField(
        max_digits=20, decimal_places=8
    )  # money in the tenant's currency, else a count
    is_hard = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta(TenantOwned.Meta):
        constraints = [
            UniqueConstraint(
                fields=["tenant", "project", "key", "model", "kind"],
                name="limit_one_of_a_kind",
                nulls_distinct=False,
            ),
            CheckConstraint(name="limit_is_positive", condition=Q(value__gt=0)),
            CheckConstraint(
                name="limit_counts_are_whole",
                condition=Q(kind="money_per_month") | Q(value=Floor(F("value"))),
            ),
            CheckConstraint(
                name="limit_on_project_or_key_not_both",
                condition=Q(project__isnull=True) | Q(key__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.value.normalize():f}"


class PersonalAccessToken(models.Model):
    """A person's bearer token for the HTTP API (`qmp_…`), shown once, stored as a digest."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class AuditEntry(TenantOwned):
    """One deed. Append-only: a trigger refuses UPDATE and DELETE."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, null=True, related_name="+")  # type: ignore[assignment]
    at = models.DateTimeField(default=now, editable=False)
    actor = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    actor_label = models.CharField(max_length=254)
    verb = models.CharField(max_length=80)
    subject_type = models.CharField(max_length=80)
    subject_id = models.CharField(max_length=64)
    subject_label = models.CharField(max_length=200)
    details = models.JSONField(default=dict)
    request_id = models.CharField(max_length=64, blank=True)
    address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=300, blank=True)

    class Meta(TenantOwned.Meta):
        verbose_name_plural = "audit entries"
        indexes = [
            Index(fields=["tenant", "-at", "-id"], name="audit_tenant_newest"),
            Index(fields=["subject_type", "subject_id", "at"], name="audit_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_label} {self.verb} {self.subject_label}"


class ConfigRevision(models.Model):
    """One row: the revision of what gateways must know (tenants/revision.py writes it)."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    number = models.BigIntegerField(default=0)

    class Meta:
        constraints = [CheckConstraint(name="config_revision_is_one_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"revision {self.number}"
