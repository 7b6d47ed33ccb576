"""Access requests, their reviews and decisions, and who could act for the requester."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import CheckConstraint, Index, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import REVIEWERS
from catalog.models.delegations import ReviewDelegation
from catalog.models.rules import RuleSet
from catalog.models.tracks import FIRST_NAMES, Track
from catalog.querysets import AccessRequestQuerySet
from catalog.rule_table import Answer
from core.errors import Conflict
from core.ids import uuid7
from core.stored_labels import StoredLabel, of_choices, retold_label
from core.tenant_managers import TenantOwned
from tenants.models import DataClass, Project

if TYPE_CHECKING:
    from catalog.models.items import RequestItem

NO_FACTS = models.Value({}, models.JSONField())

_REQUEST = StoredLabel("catalog.accessrequest", _("%(model)s for %(project)s"))
_REVIEW = StoredLabel(
    "catalog.review",
    _("%(track)s review of %(request)s"),
    track=of_choices(lambda: list(FIRST_NAMES.items())),
    request=lambda stored: retold_label("catalog.accessrequest", stored),
)


def _first_of(names: list[str]) -> str:
    """The first name; with the number of other names behind it if there are some."""
    different = list(dict.fromkeys(names)) or [""]
    return different[0] if len(different) == 1 else f"{different[0]} +{len(different) - 1}"


class AccessRequest(TenantOwned):
    """A request to use models in projects of one tenant. Its reviews decide all items; approval grants each."""

    class State(models.TextChoices):
        PENDING = "pending", _("In review")
        APPROVED = "approved", _("Approved")
        REJECTED = "rejected", _("Rejected")
        WITHDRAWN = "withdrawn", _("Withdrawn")
        # A reviewer asked for changes; the requester changes it and sends it again.
        RETURNED = "returned", _("Changes wanted")

    MOVES: ClassVar[dict[str, set[str]]] = {
        State.PENDING: {State.APPROVED, State.REJECTED, State.WITHDRAWN, State.RETURNED},
        State.RETURNED: {State.PENDING, State.WITHDRAWN},
    }
    queryset_class = AccessRequestQuerySet["AccessRequest"]
    visible_to_staff = TenantOwned.visible_to_staff | REVIEWERS

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    requested_by = models.ForeignKey(User, models.PROTECT, verbose_name=_("requested by"), related_name="+")
    purpose = models.TextField(_("purpose"), max_length=2000)
    duration_days = models.PositiveIntegerField(
        _("duration in days"), default=365, validators=[MinValueValidator(1), MaxValueValidator(730)]
    )
    # The facts that the rules last considered, by id of the item.
    facts = models.JSONField(default=dict, db_default=NO_FACTS)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.PENDING)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)
    decided_at = models.DateTimeField(_("decided"), null=True)
    # When it was last sent again with changes; the database sets it.
    resent_at = models.DateTimeField(_("sent again"), null=True, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("access request")
        verbose_name_plural = _("access requests")
        constraints = [
            CheckConstraint(
                name="access_request_decided_unless_open",
                condition=Q(state__in=["pending", "withdrawn", "returned"]) | Q(decided_at__isnull=False),
            ),
            UniqueConstraint(fields=["tenant", "id"], name="access_request_of_tenant"),
        ]
        indexes = [
            Index(fields=["tenant", "-created_at"], name="access_request_newest"),
            # The newest decided ones for a model, beside a decision.
        ]

    def __str__(self) -> str:
        return _REQUEST(model=self.models_label, project=self.projects_label)

    @property
    def reference(self) -> str:
        """A short name for people: the random end of the request's id."""
        return f"REQ-{self.pk.hex[-6:].upper()}"

    @property
    def newest_evaluation(self) -> RuleEvaluation | None:
        """What the rules said last; None only before they first ran. Uses the prefetched evaluations, if any."""
        return max(self.evaluations.all(), key=lambda one: one.at, default=None)

    @property
    def rule_version(self) -> str:
        """The version of the rules that ran last; empty only before they first ran."""
        newest = self.newest_evaluation
        return newest.rule_set_id if newest else ""

    def named_items(self) -> list[RequestItem]:
        """Its items with their models and projects: those that were prefetched, or one query."""
        found = self.__dict__.get("_prefetched_objects_cache", {}).get("items")
        return list(self.items.select_related("model", "project") if found is None else found)

    @property
    def first_project(self) -> Project:
        """The project of its first item, where people need the right to ask. Raises IndexError without items."""
        return self.items.select_related("project__tenant")[0].project

    @property
    def models_label(self) -> str:
        """The title of its model; of several, the first and the number of others."""
        return _first_of([item.model.title for item in self.named_items()])

    @property
    def projects_label(self) -> str:
        """The name of its project; of several, the first and the number of others."""
        return _first_of([item.project.name for item in self.named_items()])

    @property
    def data_class_label(self) -> str:
        """The most sensitive class of data among its items."""
        classes = [DataClass(item.data_class) for item in self.named_items()]
        return str(max(classes, key=lambda one: one.rank).label) if classes else ""

    @property
    def only_item(self) -> RequestItem | None:
        """Its item if it has just one."""
        items = self.named_items()
        return items[0] if len(items) == 1 else None

    @property
    def expected_monthly_cost(self) -> Decimal | None:
        """What all its items are expected to cost a month; None if one has no price, or their currencies differ."""
        items = self.named_items()
        amounts = [item.expected_monthly_cost for item in items if item.expected_monthly_cost is not None]
        is_known = len(amounts) == len(items) and len({item.currency for item in items}) == 1
        return sum(amounts, Decimal()) if is_known else None

    @property
    def currency(self) -> str:
        """The currency of the first item's cost."""
        return next((item.currency for item in self.named_items()), "USD")

    def require_move(self, state: str) -> None:
        """Raise Conflict if `state` cannot follow the current one."""
        if state not in self.MOVES.get(self.state, ()):
            message = gettext("This request is %(state)s; it can no longer be %(wanted)s.")
            words = {"state": self.get_state_display().lower(), "wanted": self.State(state).label.lower()}
            raise Conflict(message % words, code="already_decided")

    def move_to(self, state: str) -> None:
        """Change the state in memory. Raises Conflict if `state` cannot follow the current one."""
        self.require_move(state)
        self.state = state


class RuleEvaluation(TenantOwned):
    """What the rules said about a request at one moment: their version, the facts that they considered, the answer.

    Triggers set the time and reject every change. The same rules over the same facts give the same answer again.
    """

    class Occasion(models.TextChoices):
        RAISED = "raised", pgettext_lazy("evaluation", "requested")
        RESENT = "resent", pgettext_lazy("evaluation", "sent again with changes")
        DECIDED = "decided", pgettext_lazy("evaluation", "a review was decided")
        FACTS_CHANGED = "facts_changed", pgettext_lazy("evaluation", "facts had changed")
        # Of a release that kept only the last result.
        CARRIED = "carried", pgettext_lazy("evaluation", "recorded by an earlier release")

    visible_to_staff = TenantOwned.visible_to_staff | REVIEWERS

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    access_request = models.ForeignKey(
        AccessRequest, models.PROTECT, verbose_name=_("access request"), related_name="evaluations"
    )
    rule_set = models.ForeignKey(
        RuleSet,
        models.PROTECT,
        to_field="version",
        db_column="rule_version",
        verbose_name=_("version of the rules"),
        related_name="+",
    )
    occasion = models.CharField(_("occasion"), max_length=13, choices=Occasion)
    # By id of the item, `Facts.as_inputs`.
    inputs = models.JSONField(_("facts"))
    answer = models.CharField(_("answer"), max_length=9, choices=Answer)
    # `Evaluated.as_json`.
    result = models.JSONField(_("result"))
    at = models.DateTimeField(_("time"), default=now, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("rule evaluation")
        verbose_name_plural = _("rule evaluations")
        constraints = [
            CheckConstraint(name="rule_evaluation_has_its_answer", condition=Q(answer__in=Answer.values))
        ]
        indexes = [
            Index(fields=["access_request", "-at"], name="rule_evaluation_newest"),
            Index(fields=["-at"], condition=Q(occasion="raised"), name="rule_evaluation_raised"),
        ]

    def __str__(self) -> str:
        return f"{self.rule_set_id}: {self.get_answer_display()}"


class Review(TenantOwned):
    """One track of a request: what must be decided, by whom, and why the review is needed."""

    class State(models.TextChoices):
        PENDING = "pending", _("In review")
        APPROVED = "approved", _("Approved")
        REJECTED = "rejected", _("Rejected")
        CANCELLED = "cancelled", _("Not needed")

    visible_to_staff = TenantOwned.visible_to_staff | REVIEWERS

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    access_request = models.ForeignKey(
        AccessRequest, models.CASCADE, verbose_name=_("access request"), related_name="reviews"
    )
    track = models.ForeignKey(
        Track,
        models.PROTECT,
        to_field="code",
        db_column="track",
        verbose_name=_("track"),
        related_name="reviews",
    )
    reason = models.CharField(_("reason"), max_length=300)  # the rule's sentence
    quorum = models.PositiveSmallIntegerField(_("approvals needed"), default=1)
    # Decisions of earlier rounds do not count.
    round = models.PositiveSmallIntegerField(_("round"), default=1, db_default=1)
    # True if a change of facts after the request opened the review, or opened it again.
    opened_by_facts = models.BooleanField(_("opened by changed facts"), default=False, db_default=False)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.PENDING)
    created_at = models.DateTimeField(default=now, editable=False)
    due_at = models.DateTimeField(_("due"))
    # When it was passed on because it was late. A trigger sets the time.
    escalated_at = models.DateTimeField(_("escalated"), null=True, editable=False)
    decided_at = models.DateTimeField(_("decided"), null=True)

    class Meta(TenantOwned.Meta):
        verbose_name = _("review")
        verbose_name_plural = _("reviews")
        constraints = [
            UniqueConstraint(fields=["access_request", "track"], name="review_one_per_track"),
            UniqueConstraint(fields=["tenant", "id"], name="review_of_tenant"),
            CheckConstraint(
                name="review_decided_unless_open",
                condition=Q(state__in=["pending", "cancelled"]) | Q(decided_at__isnull=False),
            ),
        ]
        indexes = [
            Index(fields=["state", "due_at"], name="review_queue"),
            # The newest decided ones of a track, for how long they usually take.
            Index(
                fields=["track", "-decided_at"],
                condition=Q(state__in=["approved", "rejected"], round=1),
                name="review_pace",
            ),
            Index(
                fields=["due_at"],
                condition=Q(state="pending", escalated_at=None),
                name="review_to_escalate",
            ),
        ]

    def __str__(self) -> str:
        return _REVIEW(track=self.track.label, request=self.access_request)


class ReviewDecision(TenantOwned):
    """One person's decision on one track, with the facts it is based on. Each person decides once per round.

    Triggers reject decisions by the requester, by anyone who could act for the requester, and by anyone without
    permission to decide the track.
    """

    class Verdict(models.TextChoices):
        APPROVE = "approve", _("Approve")
        REJECT = "reject", _("Reject")
        RETURN = "return", _("Ask for changes")

    visible_to_staff = Review.visible_to_staff

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    review = models.ForeignKey(Review, models.CASCADE, related_name="decisions")
    reviewer = models.ForeignKey(User, models.PROTECT, related_name="+")
    verdict = models.CharField(max_length=8, choices=Verdict)
    comment = models.TextField(max_length=2000, blank=True)
    # The round of the review at the time of the decision.
    round = models.PositiveSmallIntegerField(default=1, db_default=1)
    # Set by a trigger where no scope of the reviewer covers the review, but one of this delegation's giver does.
    delegation = models.ForeignKey(
        ReviewDelegation, models.PROTECT, null=True, editable=False, related_name="decisions"
    )
    # The facts on which the decision is based, by id of the item.
    facts = models.JSONField(default=dict, db_default=NO_FACTS)
    at = models.DateTimeField(default=now, editable=False)

    class Meta(TenantOwned.Meta):
        constraints = [
            # Whoever asked for changes decides again, in the same round, once the request was sent again.
            UniqueConstraint(
                fields=["review", "reviewer", "round"],
                condition=~Q(verdict="return"),
                name="review_decision_one_per_person",
            ),
            CheckConstraint(
                name="review_refusal_has_reason", condition=Q(verdict="approve") | ~Q(comment="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reviewer}: {self.verdict}"


class RequestDelegate(TenantOwned):
    """A person who could act for the service account that made a request, at that time or while the request was open.

    Triggers write these rows, and nothing changes them. The person may never decide the request, whatever their role
    is later.
    """

    class Capacity(models.TextChoices):
        RESPONSIBLE = "responsible", _("Answered for the service account")
        ISSUER = "issuer", _("Issued one of its tokens")
        MANAGER = "manager", _("Could create its tokens, by their role in the tenant")
        STAFF = "staff", _("Could create its tokens, as staff")
        EMERGENCY = "emergency", _("Had emergency access to the tenant")

    visible_to_staff = Review.visible_to_staff

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    access_request = models.ForeignKey(AccessRequest, models.PROTECT, related_name="delegates")
    person = models.ForeignKey(User, models.PROTECT, verbose_name=_("person"), related_name="+")
    capacity = models.CharField(_("capacity"), max_length=12, choices=Capacity)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("delegate")
        constraints = [
            UniqueConstraint(fields=["access_request", "person", "capacity"], name="request_delegate_once")
        ]

    def __str__(self) -> str:
        return f"{self.person}: {self.get_capacity_display()}"
