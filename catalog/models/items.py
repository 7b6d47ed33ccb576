"""The items of access requests, and grants, each of one item."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import CheckConstraint, F, Index, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import User
from accounts.roles import REVIEWERS
from catalog.models.offered import CatalogModel
from catalog.models.requests import AccessRequest
from catalog.querysets import GrantQuerySet
from core.ids import uuid7
from core.stored_labels import StoredLabel
from core.tenant_managers import TenantOwned
from tenants.models import ApiKey, DataClass, Project

_ITEM = StoredLabel("catalog.requestitem", _("%(model)s for %(project)s"))
_GRANT = StoredLabel("catalog.grant", pgettext_lazy("grant", "%(model)s for %(project)s"))


class RequestItem(TenantOwned):
    """One model for one project, as part of a request that decides it. Triggers keep it as it was requested."""

    visible_to_staff = AccessRequest.visible_to_staff

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    access_request = models.ForeignKey(
        AccessRequest, models.PROTECT, verbose_name=_("access request"), related_name="items"
    )
    project = models.ForeignKey(
        Project, models.PROTECT, verbose_name=_("project"), related_name="request_items"
    )
    model = models.ForeignKey(
        CatalogModel, models.PROTECT, verbose_name=_("model"), related_name="request_items"
    )
    data_class = models.CharField(_("data class"), max_length=12, choices=DataClass)
    expected_tokens_per_day = models.BigIntegerField(
        _("expected tokens per day"), validators=[MinValueValidator(1)]
    )
    # {"requests_per_minute": "3"}: kinds of tenants.Limit, as strings.
    limits = models.JSONField(_("limits"), default=dict)
    # Null: the model has no price.
    expected_monthly_cost = models.DecimalField(
        _("expected monthly cost"), max_digits=20, decimal_places=8, null=True
    )
    currency = models.CharField(_("currency"), max_length=3, default="USD")
    # The key that got the model. Null while the request is open.
    key = models.ForeignKey(
        ApiKey, models.PROTECT, verbose_name=_("key"), null=True, related_name="request_items"
    )
    # The key that approval adds the model to; null: it makes one.
    into_key = models.ForeignKey(
        ApiKey, models.PROTECT, verbose_name=_("key that gets the model"), null=True, related_name="+"
    )
    # The grant that this one follows without a gap, for the same project and model.
    renews = models.ForeignKey(
        "catalog.Grant", models.PROTECT, verbose_name=_("renews"), null=True, related_name="renewals"
    )
    # Whether the request is open. A trigger writes it.
    is_open = models.BooleanField(_("open"), default=True, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("requested model")
        verbose_name_plural = _("requested models")
        ordering = ["pk"]
        indexes = [Index(fields=["model", "-id"], condition=Q(is_open=False), name="request_item_decided")]
        constraints = [
            CheckConstraint(name="request_item_expects_tokens", condition=Q(expected_tokens_per_day__gt=0)),
            UniqueConstraint(fields=["tenant", "id"], name="request_item_of_tenant"),
            UniqueConstraint(fields=["access_request", "project", "model"], name="request_item_once"),
            UniqueConstraint(
                fields=["project", "model"], condition=Q(is_open=True), name="request_item_one_open"
            ),
        ]

    def __str__(self) -> str:
        return _ITEM(model=self.model.title, project=self.project.name)


class Grant(TenantOwned):
    """The dated right of a project to use a model, and the person who answers for it.

    The owner is a member who may request access in the project. If they no longer may, the grant is suspended: gateways
    refuse its calls until somebody who may takes it over. Triggers keep both true.
    """

    class State(models.TextChoices):
        """What it is now, by its dates; no column has it."""

        LATER = "later", pgettext_lazy("grant", "Begins later")
        IN_FORCE = "in_force", pgettext_lazy("grant", "In force")
        SUSPENDED = "suspended", pgettext_lazy("grant", "Suspended")
        ENDED = "ended", pgettext_lazy("grant", "Ended")
        REVOKED = "revoked", pgettext_lazy("grant", "Revoked")

    LONGEST_REASON: ClassVar[int] = 500
    # How long before its end a grant can be renewed, and its owner is told; at most for the second half of its time.
    RENEWABLE: ClassVar[timedelta] = timedelta(days=30)
    queryset_class = GrantQuerySet["Grant"]
    visible_to_staff = TenantOwned.visible_to_staff | REVIEWERS

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, models.PROTECT, verbose_name=_("project"), related_name="grants")
    model = models.ForeignKey(CatalogModel, models.PROTECT, verbose_name=_("model"), related_name="grants")
    item = models.OneToOneField(
        RequestItem, models.PROTECT, verbose_name=_("requested model"), related_name="grant"
    )
    # Null: nobody of the tenant could answer for it when it was given.
    owner = models.ForeignKey(User, models.PROTECT, verbose_name=_("owner"), null=True, related_name="+")
    valid_from = models.DateTimeField(_("valid from"), default=now)
    valid_until = models.DateTimeField(_("valid until"))
    # When its owner was told of the end; null again with another owner.
    end_told_at = models.DateTimeField(null=True, editable=False)
    # Since when its owner may no longer answer for it.
    suspended_at = models.DateTimeField(_("suspended"), null=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True)
    # Null with a revoked grant: the platform.
    revoked_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("revoked by"), null=True, related_name="+"
    )
    revoked_reason = models.CharField(
        _("reason"), max_length=LONGEST_REASON, blank=True, default="", db_default=""
    )
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("grant")
        verbose_name_plural = _("grants")
        constraints = [
            CheckConstraint(name="grant_ends_after_it_begins", condition=Q(valid_until__gt=F("valid_from"))),
            CheckConstraint(
                name="grant_reason_is_of_revocation",
                condition=Q(revoked_at__isnull=False) | Q(revoked_by=None, revoked_reason=""),
            ),
            UniqueConstraint(fields=["tenant", "id"], name="grant_of_tenant"),
        ]
        indexes = [
            Index(fields=["project", "model"], name="grant_project_model"),
            # Of one tenant: its lists, and what of them ends soon.
            Index(fields=["tenant", "valid_until", "id"], condition=Q(revoked_at=None), name="grant_ends"),
            # Of all: what the clock ends, and whom it tells before.
            Index(fields=["valid_until"], condition=Q(revoked_at=None), name="grant_ends_of_all"),
            Index(
                fields=["valid_until"],
                condition=Q(revoked_at=None, end_told_at=None),
                name="grant_end_not_told",
            ),
            Index(
                fields=["tenant", "id"],
                condition=Q(revoked_at=None, suspended_at__isnull=False),
                name="grant_suspended",
            ),
        ]

    def __str__(self) -> str:
        return _GRANT(model=self.model.name, project=self.project.name)

    @property
    def state(self) -> str:
        """Its state now, from `State`."""
        moment = now()
        if self.revoked_at is not None:
            return self.State.REVOKED
        if self.valid_until <= moment:
            return self.State.ENDED
        if self.suspended_at is not None:
            return self.State.SUSPENDED
        return self.State.IN_FORCE if self.valid_from <= moment else self.State.LATER

    @property
    def renewable_from(self) -> datetime:
        """From when on it can be renewed."""
        return self.valid_until - min(self.RENEWABLE, (self.valid_until - self.valid_from) / 2)

    @property
    def is_over(self) -> bool:
        """Whether it was revoked or has ended, so that nothing brings it back."""
        return self.state in (self.State.REVOKED, self.State.ENDED)
