"""Reviewers who stepped back from a request."""

from __future__ import annotations

from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from catalog.models.requests import AccessRequest, Review
from core.ids import uuid7
from core.tenant_managers import TenantOwned


class ReviewRecusal(TenantOwned):
    """A reviewer stepped back from a request: from then on they decide none of its reviews, and nobody in their place.

    Triggers hold that, and keep the row.
    """

    visible_to_staff = Review.visible_to_staff

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    access_request = models.ForeignKey(
        AccessRequest, models.PROTECT, verbose_name=_("access request"), related_name="recusals"
    )
    person = models.ForeignKey(User, models.PROTECT, verbose_name=_("person"), related_name="+")
    reason = models.CharField(_("reason"), max_length=500)
    at = models.DateTimeField(_("at"), default=now, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("recusal")
        verbose_name_plural = _("recusals")
        constraints = [
            UniqueConstraint(fields=["access_request", "person"], name="review_recusal_once"),
            CheckConstraint(name="review_recusal_has_reason", condition=~Q(reason="")),
        ]

    def __str__(self) -> str:
        return f"{self.person}: {self.reason[:60]}"
