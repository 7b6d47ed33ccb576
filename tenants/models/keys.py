"""Keys, limits, and the revision that notifies gateways of changes to them."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import CheckConstraint, F, Index, Q, UniqueConstraint
from django.db.models.functions import Floor, Now
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from core.errors import Conflict
from core.ids import uuid7
from core.names import LineField, NameField, one_line
from core.prefix import prefix_index
from core.stored_labels import StoredLabel
from core.tenant_managers import TenantOwned
from tenants.models.tenancy import Project
from tenants.querysets import ApiKeyQuerySet, ConfigChangeQuerySet


class ApiKey(TenantOwned):
    """A bearer secret of one project. Before it is claimed it has no secret; afterwards only the digest is stored."""

    class State(models.TextChoices):
        CLAIMABLE = "claimable", _("Ready to claim")
        ACTIVE = "active", _("Active")
        REVOKED = "revoked", _("Revoked")

    MOVES: ClassVar[dict[str, set[str]]] = {
        State.CLAIMABLE: {State.ACTIVE, State.REVOKED},
        State.ACTIVE: {State.REVOKED},
    }
    queryset_class = ApiKeyQuerySet["ApiKey"]

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, models.PROTECT, verbose_name=_("project"), related_name="keys")
    name = NameField(_("name"), max_length=80)
    # A grant must agree.
    model_names = ArrayField(models.CharField(max_length=120), verbose_name=_("models"), default=list)
    # CIDR; empty: anywhere.
    networks = ArrayField(
        models.CharField(max_length=43), verbose_name=_("allowed networks"), default=list, blank=True
    )
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.CLAIMABLE)
    prefix = models.CharField(_("key begins with"), max_length=12, blank=True)
    digest = models.CharField(max_length=64, unique=True, null=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)
    # Who may expect it.
    created_for = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("created for"), null=True, related_name="+"
    )
    claim_by = models.DateTimeField(_("claim by"), null=True)
    claimed_at = models.DateTimeField(_("claimed"), null=True)
    claimed_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("claimed by"), null=True, related_name="+"
    )
    expires_at = models.DateTimeField(_("expires"), null=True)
    # Who answers for it.
    owner = models.ForeignKey(User, models.PROTECT, verbose_name=_("owner"), null=True, related_name="+")
    # Set when its owner lost the access it depends on; the suspension can be lifted.
    suspended_at = models.DateTimeField(_("suspended since"), null=True)
    suspended_reason = LineField(_("reason of the suspension"), max_length=200, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True)
    last_used_at = models.DateTimeField(_("last used"), null=True)

    class Meta(TenantOwned.Meta):
        verbose_name = _("key")
        verbose_name_plural = _("keys")
        constraints = [
            CheckConstraint(
                name="api_key_has_digest_once_claimed",
                condition=Q(state="claimable", digest__isnull=True)
                | Q(state="active", digest__isnull=False, claimed_at__isnull=False)
                | Q(state="revoked", revoked_at__isnull=False),
            ),
            UniqueConstraint(fields=["tenant", "id"], name="api_key_of_tenant"),
            one_line("name", of="api_key"),
            one_line("suspended_reason", of="api_key"),
        ]
        indexes = [
            Index(fields=["tenant", "-created_at"], name="api_key_tenant_newest"),
            # Every page of a tenant counts them.
            Index(fields=["tenant", "claim_by"], condition=Q(state="claimable"), name="api_key_to_claim"),
            prefix_index("name", "api_key_name_prefix"),
            prefix_index("prefix", "api_key_prefix_prefix"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)" if self.prefix else self.name

    @property
    def is_claimable(self) -> bool:
        """Whether its secret can still be created; the same as `claimable()` of the queryset."""
        return self.state == self.State.CLAIMABLE and (self.claim_by is None or self.claim_by > now())

    @property
    def is_suspended(self) -> bool:
        """Whether it was claimed and gateways reject it, because its owner lost the access it depends on."""
        return self.state == self.State.ACTIVE and self.suspended_at is not None

    def require_move(self, state: str) -> None:
        """Raise Conflict if `state` cannot follow the current one."""
        if state not in self.MOVES.get(self.state, ()):
            raise Conflict(
                _("This key is %(now)s; it can no longer become %(state)s.")
                % {"now": self.get_state_display().lower(), "state": state}
            )

    def move_to(self, state: str) -> None:
        """Change the state in memory. Raises Conflict if `state` cannot follow the current one."""
        self.require_move(state)
        self.state = state


class Limit(TenantOwned):
    """A number on a tenant, a project or a key, for one model or all. Gateways check every limit that applies."""

    class Kind(models.TextChoices):
        REQUESTS_PER_MINUTE = "requests_per_minute", _("Requests per minute")
        TOKENS_PER_MINUTE = "tokens_per_minute", _("Tokens per minute")
        CONCURRENT_CALLS = "concurrent_calls", _("Concurrent calls")
        TOKENS_PER_DAY = "tokens_per_day", _("Tokens per day")
        TOKENS_PER_MONTH = "tokens_per_month", _("Tokens per month")
        MONEY_PER_MONTH = "money_per_month", _("Money per month")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(
        Project, models.CASCADE, verbose_name=_("project"), null=True, blank=True, related_name="limits"
    )
    key = models.ForeignKey(
        ApiKey, models.CASCADE, verbose_name=_("key"), null=True, blank=True, related_name="limits"
    )
    # Public name; empty means all models together.
    model = models.CharField(_("model"), max_length=120, blank=True)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind)
    # Money in the tenant's currency for limits in money, else a count.
    value = models.DecimalField(_("value"), max_digits=20, decimal_places=8)
    is_hard = models.BooleanField(_("hard limit"), default=True)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("limit")
        verbose_name_plural = _("limits")
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
        indexes = [prefix_index("model", "limit_model_prefix")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.value.normalize():f}"


_REVISION = StoredLabel("tenants.configrevision", _("revision %(number)s"))


class ConfigRevision(models.Model):
    """One row: the revision of the configuration for gateways (tenants/revision.py writes it)."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    number = models.BigIntegerField(default=0)

    class Meta:
        constraints = [CheckConstraint(name="config_revision_is_one_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return _REVISION(number=self.number)


class ConfigChange(models.Model):
    """What changed with one revision, by id (tenants/revision.py writes and reads it)."""

    revision = models.BigIntegerField(_("revision"), primary_key=True)
    # Distinguishes it from another revision with the same number, given after a restore.
    mark = models.UUIDField()
    raised_at = models.DateTimeField(_("raised at"), db_default=Now())
    # True if the caller did not name what changed.
    is_everything = models.BooleanField()
    tenants = ArrayField(models.UUIDField())
    projects = ArrayField(models.UUIDField())
    keys = ArrayField(models.UUIDField())
    # The ids of what the limits are set on.
    limits = ArrayField(models.UUIDField())
    # The last revision of the same transaction, which has the audit entries of all of them; null for that one itself.
    # A trigger sets it at commit.
    raised_with = models.BigIntegerField(null=True)

    objects = ConfigChangeQuerySet.as_manager()

    class Meta:
        verbose_name = _("configuration revision")
        verbose_name_plural = _("configuration revisions")

    def __str__(self) -> str:
        return _REVISION(number=self.revision)


class RevisionEntry(models.Model):
    """An audit entry of the transaction that raised a revision, its last if it raised several. A trigger adds it."""

    id = models.BigAutoField(primary_key=True)
    revision = models.BigIntegerField()
    entry_id = models.UUIDField()

    class Meta:
        constraints = [UniqueConstraint(fields=["revision", "entry_id"], name="revision_entry_once")]

    def __str__(self) -> str:
        return f"entry {self.entry_id} of revision {self.revision}"
