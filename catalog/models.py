"""WHAT may be used: models and their offers, access requests, reviews, grants."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import CheckConstraint, F, GeneratedField, Index, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from catalog.querysets import (
    VISIBLE_LIFECYCLES,
    AccessRequestQuerySet,
    CatalogModelQuerySet,
    GrantQuerySet,
)
from catalog.search import SearchLexemes
from tenants.errors import Conflict
from tenants.ids import uuid7
from tenants.models import ApiKey, DataClass, Project, User
from tenants.roles import REVIEWERS, StaffRole
from tenants.scoping import TenantOwned

PUBLIC_NAME = RegexValidator(
    r"^[a-z0-9][a-z0-9._-]*$", _("Lower-case letters, digits, dots, hyphens and underscores only.")
)


class CatalogModel(models.Model):
    """What a tenant sees and asks for, under a stable public name."""

    class Lifecycle(models.TextChoices):
        DRAFT = "draft", _("Draft")
        PREVIEW = "preview", _("Preview")
        PUBLISHED = "published", _("Published")
        DEPRECATED = "deprecated", _("Deprecated")
        RETIRED = "retired", _("Retired")

    class RiskTier(models.TextChoices):
        LOW = "low", _("Low")
        MODERATE = "moderate", _("Moderate")
        HIGH = "high", _("High")

    class Hosting(models.TextChoices):
        OURS = "ours", _("our clusters")
        VENDOR = "vendor", _("vendor-hosted")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=120, unique=True, validators=[PUBLIC_NAME])
    title = models.CharField(max_length=160)
    maker = models.CharField(max_length=80, blank=True)  # who made the weights
    description = models.TextField(blank=True)
    mode = models.CharField(max_length=40)  # chat, embedding, rerank, … as the price map words it
    context_tokens = models.BigIntegerField(null=True)
    max_output_tokens = models.BigIntegerField(null=True)
    capabilities = models.JSONField(default=dict)  # {"function_calling": true}; an absent flag is unknown
    providers = ArrayField(models.CharField(max_length=60), default=list)  # of its offers, for facets
    regions = ArrayField(models.CharField(max_length=60), default=list)
    hosting = models.CharField(max_length=10, choices=Hosting, default=Hosting.VENDOR)
    lifecycle = models.CharField(max_length=12, choices=Lifecycle, default=Lifecycle.DRAFT)
    deprecation_date = models.DateField(null=True)
    risk_tier = models.CharField(max_length=10, choices=RiskTier, default=RiskTier.MODERATE)
    highest_data_class = models.CharField(max_length=12, choices=DataClass, default=DataClass.INTERNAL)
    source = models.CharField(max_length=120, blank=True)  # where the facts came from
    created_at = models.DateTimeField(default=now, editable=False)
    updated_at = models.DateTimeField(default=now)
    offer_count = models.PositiveIntegerField(default=0)  # places that offer it now, variants aside
    list_input_price = models.DecimalField(  # for sorting; what is billed is billing's list price
        max_digits=18, decimal_places=8, null=True
    )
    imported = models.JSONField(
        default=dict, editable=False
    )  # what the import last wrote to fields people edit
    search_text = models.TextField(blank=True, editable=False)  # more words: providers, capabilities
    search = GeneratedField(
        expression=SearchLexemes("name", "title", "maker", "search_text"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    objects = CatalogModelQuerySet.as_manager()

    class Meta:
        verbose_name = _("model")
        permissions = [
            ("publish_model", "Publish or retire a model"),
            ("review_security", "Decide security reviews"),
            ("review_compliance", "Decide compliance reviews"),
            ("review_cost", "Decide cost reviews"),
        ]
        indexes = [GinIndex(fields=["search"], name="catalog_model_search")]

    def __str__(self) -> str:
        return self.title

    @property
    def is_visible(self) -> bool:
        """Whether tenants may find it and ask for it; the same as `published()` of the queryset."""
        is_over = self.deprecation_date is not None and self.deprecation_date <= now().date()
        return self.lifecycle in VISIBLE_LIFECYCLES and not is_over

    @property
    def host_label(self) -> str:
        return self.get_hosting_display()

    @property
    def mode_label(self) -> str:
        return self.mode.replace("_", " ").capitalize()

    @property
    def summary(self) -> str:
        """One sentence about the model: an operator's description, else what the facts say."""
        if self.description:
            return self.description
        made = _("%(kind)s model by %(maker)s.") % {"kind": self.mode_label, "maker": self.maker}
        return str(made if self.maker else _("%(kind)s model.") % {"kind": self.mode_label})


class Offer(models.Model):
    """One provider's terms for a model in one region, as an imported source states them."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(CatalogModel, models.CASCADE, related_name="offers")
    source = models.CharField(max_length=120)
    source_key = models.CharField(max_length=200)  # the entry's own name in the source
    provider = models.CharField(max_length=60)
    region = models.CharField(max_length=60, blank=True)
    prices = models.JSONField(default=dict)  # {"input": "2.50000000"} US dollars per million, as strings
    facts = models.JSONField(default=dict)  # the rest of what the source says, by our names
    source_url = models.URLField(max_length=500, blank=True)
    deprecation_date = models.DateField(null=True)
    digest = models.CharField(max_length=64)  # SHA-256 of the entry: unchanged entries are skipped by it
    is_primary = models.BooleanField(default=False)  # its prices are the model's list prices

    class Meta:
        constraints = [
            UniqueConstraint(fields=["source", "source_key"], name="offer_once_per_source"),
            UniqueConstraint(fields=["model"], condition=Q(is_primary=True), name="offer_one_primary"),
        ]

    def __str__(self) -> str:
        return f"{self.source_key} at {self.provider}"


class CatalogImport(models.Model):
    """One run of an import: what it read, what changed, and why entries were refused."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.CharField(max_length=120)
    file_name = models.CharField(max_length=200)
    digest = models.CharField(max_length=64)  # SHA-256 of the file's text
    at = models.DateTimeField(default=now, editable=False)
    by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")  # null: the command line
    counts = models.JSONField(default=dict)
    refused = models.JSONField(default=dict)  # {key: reason}

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.source} from {self.file_name}"


class ModelVersion(models.Model):
    """One set of weights of a model, with what it needs to run."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(CatalogModel, models.PROTECT, related_name="versions")
    version = models.CharField(max_length=60)
    upstream_name = models.CharField(max_length=200)  # what the engine calls it
    digest = models.CharField(max_length=80, blank=True)  # "sha256:…" of the weights' manifest
    precision = models.CharField(max_length=20, blank=True)  # bf16, fp8, …
    gpus_per_replica = models.PositiveIntegerField(default=0)
    memory = models.CharField(max_length=20, default="512Mi")
    image = models.CharField(max_length=300)
    endpoints = ArrayField(
        models.CharField(max_length=20), default=list, blank=True
    )  # beside its model's mode
    command = ArrayField(models.CharField(max_length=300), default=list)  # may hold {port} and {model}
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        constraints = [UniqueConstraint(fields=["model", "version"], name="model_version_unique")]

    def __str__(self) -> str:
        return f"{self.model.name} {self.version}"


class AccessRequest(TenantOwned):
    """A project asks for a model. Decided by its reviews; approved, it has brought forth one grant."""

    class State(models.TextChoices):
        PENDING = "pending", _("In review")
        APPROVED = "approved", _("Approved")
        REJECTED = "rejected", _("Refused")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    MOVES: ClassVar[dict[str, set[str]]] = {State.PENDING: {State.APPROVED, State.REJECTED, State.WITHDRAWN}}
    queryset_class = AccessRequestQuerySet
    visible_to_staff = TenantOwned.visible_to_staff | REVIEWERS

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, models.PROTECT, related_name="access_requests")
    model = models.ForeignKey(CatalogModel, models.PROTECT, related_name="access_requests")
    requested_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    purpose = models.TextField(max_length=2000)
    data_class = models.CharField(max_length=12, choices=DataClass)
    expected_tokens_per_day = models.BigIntegerField(validators=[MinValueValidator(1)])
    limits = models.JSONField(
        default=dict
    )  # {"requests_per_minute": "3"}: kinds of tenants.Limit, as strings
    duration_days = models.PositiveIntegerField(
        default=365, validators=[MinValueValidator(1), MaxValueValidator(730)]
    )
    expected_monthly_cost = models.DecimalField(
        max_digits=20, decimal_places=8, null=True
    )  # null: not priced
    currency = models.CharField(max_length=3, default="USD")
    rule_version = models.CharField(max_length=40)  # which rules chose the tracks
    rule_trace = models.JSONField(default=list)  # [{"track": "cost", "because": "…"}]
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    created_at = models.DateTimeField(default=now, editable=False)
    decided_at = models.DateTimeField(null=True)

    class Meta(TenantOwned.Meta):
        constraints = [
            CheckConstraint(
                name="access_request_decided_unless_open",
                condition=Q(state__in=["pending", "withdrawn"]) | Q(decided_at__isnull=False),
            ),
            CheckConstraint(name="access_request_expects_tokens", condition=Q(expected_tokens_per_day__gt=0)),
            UniqueConstraint(fields=["tenant", "id"], name="access_request_of_tenant"),
            UniqueConstraint(
                fields=["project", "model"], condition=Q(state="pending"), name="access_request_one_open"
            ),
        ]
        indexes = [Index(fields=["tenant", "-created_at"], name="access_request_newest")]

    def __str__(self) -> str:
        return f"{self.model.title} for {self.project.name}"

    @property
    def reference(self) -> str:
        """What people call it: the random end of its id."""
        return f"REQ-{self.pk.hex[-6:].upper()}"

    def move_to(self, state: str) -> None:
        """Change the state in memory. Raises Conflict if `state` cannot follow the current one."""
        if state not in self.MOVES.get(self.state, ()):
            raise Conflict(
                f"This request is {self.get_state_display().lower()}; it can no longer be {state}.",
                code="already_decided",
            )
        self.state = state


class Review(TenantOwned):
    """One track of a request: what must be decided, by whom, why it is needed."""

    class Track(models.TextChoices):
        SECURITY = "security", _("Security")
        COMPLIANCE = "compliance", _("Compliance")
        COST = "cost", _("Cost")

    class State(models.TextChoices):
        PENDING = "pending", _("In review")
        APPROVED = "approved", _("Approved")
        REJECTED = "rejected", _("Refused")
        CANCELLED = "cancelled", _("Not needed")

    TRACK_ROLES: ClassVar[dict[str, StaffRole]] = {
        Track.SECURITY: StaffRole.SECURITY_REVIEWER,
        Track.COMPLIANCE: StaffRole.COMPLIANCE_REVIEWER,
        Track.COST: StaffRole.COST_REVIEWER,
    }
    visible_to_staff = TenantOwned.visible_to_staff | frozenset(TRACK_ROLES.values())

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    access_request = models.ForeignKey(AccessRequest, models.CASCADE, related_name="reviews")
    track = models.CharField(max_length=12, choices=Track)
    because = models.CharField(max_length=300)  # the rule's sentence
    quorum = models.PositiveSmallIntegerField(default=1)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    created_at = models.DateTimeField(default=now, editable=False)
    due_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)

    class Meta(TenantOwned.Meta):
        constraints = [
            UniqueConstraint(fields=["access_request", "track"], name="review_one_per_track"),
            UniqueConstraint(fields=["tenant", "id"], name="review_of_tenant"),
            CheckConstraint(
                name="review_decided_unless_open",
                condition=Q(state__in=["pending", "cancelled"]) | Q(decided_at__isnull=False),
            ),
        ]
        indexes = [Index(fields=["state", "due_at"], name="review_queue")]

    def __str__(self) -> str:
        return f"{self.get_track_display()} review of {self.access_request}"


class ReviewDecision(TenantOwned):
    """What one person said on one track. A trigger refuses the requester; uniqueness, the same person twice."""

    class Verdict(models.TextChoices):
        APPROVE = "approve", _("Approve")
        REJECT = "reject", _("Refuse")

    visible_to_staff = Review.visible_to_staff

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    review = models.ForeignKey(Review, models.CASCADE, related_name="decisions")
    reviewer = models.ForeignKey(User, models.PROTECT, related_name="+")
    verdict = models.CharField(max_length=8, choices=Verdict)
    comment = models.TextField(max_length=2000, blank=True)
    at = models.DateTimeField(default=now, editable=False)

    class Meta(TenantOwned.Meta):
        constraints = [
            UniqueConstraint(fields=["review", "reviewer"], name="review_decision_one_per_person"),
            CheckConstraint(
                name="review_refusal_has_reason", condition=Q(verdict="approve") | ~Q(comment="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reviewer}: {self.verdict}"


class Grant(TenantOwned):
    """The dated right of a project to use a model."""

    queryset_class = GrantQuerySet
    visible_to_staff = TenantOwned.visible_to_staff | REVIEWERS

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, models.PROTECT, related_name="grants")
    model = models.ForeignKey(CatalogModel, models.PROTECT, related_name="grants")
    access_request = models.OneToOneField(AccessRequest, models.PROTECT, related_name="grant")
    key = models.ForeignKey(ApiKey, models.PROTECT, related_name="grants")  # made with it, to be claimed
    valid_from = models.DateTimeField(default=now)
    valid_until = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta(TenantOwned.Meta):
        constraints = [
            CheckConstraint(name="grant_ends_after_it_begins", condition=Q(valid_until__gt=F("valid_from")))
        ]
        indexes = [Index(fields=["project", "model"], name="grant_project_model")]

    def __str__(self) -> str:
        return f"{self.model.name} for {self.project.name}"
